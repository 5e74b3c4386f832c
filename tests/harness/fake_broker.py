"""The broker's end of one node's wire, played by a test: a ROUTER socket and the node's process.

Lives here: starting the process, frames in both directions.
Never here: order, log, modes; the test says every frame itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import zmq

from machine.board import Board, render_board
from machine.codec import decode, encode, encode_header, type_of
from machine.frame import Frame
from machine.icount import BROKER
from machine.message import Hello, Message, Ready, RunMode, Shutdown, Welcome
from machine.port import frames_of

if TYPE_CHECKING:
    from machine.board import DeviceSlot

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 20_000
NUMBER = 2


class FakeBroker:
    """One device's process and the other end of its wire."""

    def __init__(self, directory: Path, slot: DeviceSlot, stdin: int | IO[bytes] | None = None) -> None:
        board = directory / "board.toml"
        board.write_text(render_board(Board("test", memory=16 << 20, devices=(slot,))))
        endpoint = f"ipc://{directory}/b"
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        self._identity = b""
        self._frames: list[Frame] = []
        self.errors = directory / "stderr"
        with self.errors.open("wb") as errors:
            options = ["--node", slot.name, "--board", str(board), "--broker", endpoint]
            command = [sys.executable, "-m", "devices", *options]
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )

    def welcome(self, mode: RunMode = RunMode.RECORD, memory_path: str = "") -> None:
        """Let the node in."""
        (hello,) = self.receive()
        assert isinstance(hello, Hello)
        self.send(Welcome(NUMBER, mode, memory_path))

    def start(self, mode: RunMode = RunMode.RECORD, memory_path: str = "") -> None:
        """Let the node in and wait until it is ready."""
        self.welcome(mode, memory_path)
        assert any(isinstance(message, Ready) for message in self.receive())

    def send(self, message: Message, icount: int = 0, source: int = BROKER, seq: int = 0) -> None:
        """Say something to the node."""
        frame = Frame(type_of(type(message)), source, NUMBER, icount, encode(message), seq)
        self._socket.send_multipart([self._identity, encode_header(frame), frame.payload])

    def breath(self) -> list[Frame]:
        """The frames of the node's next breath; AssertionError if none comes."""
        assert self._socket.poll(PATIENCE_MS), f"the node is silent: {self.errors.read_text()}"
        self._identity, *parts = self._socket.recv_multipart()
        return frames_of(parts)

    def receive(self) -> list[Message]:
        """The messages of the node's next breath."""
        return [decode(frame.type, frame.payload) for frame in self.breath()]

    def silent(self) -> bool:
        """Whether nothing has come so far."""
        return not self._socket.poll(0)

    def ask(self, message: Message, icount: int = 0, source: int = BROKER) -> list[Message]:
        """Say something and take the next breath."""
        self.send(message, icount, source)
        return self.receive()

    def stop(self) -> int:
        """Send it home; its exit code."""
        self.send(Shutdown())
        return self.process.wait(PATIENCE_MS / 1000)

    def close(self) -> None:
        """End what is left of it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._socket.close()
        self._context.term()
