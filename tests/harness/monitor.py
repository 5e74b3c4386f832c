"""Clients of a running machine's monitor: QMP and the line mode, each waiting up to a deadline."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any, Final, Self

from machine.codec import decode
from machine.icount import FIRST_DEVICE
from machine.message import HostInput
from machine.recording.reader import Recording

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

PATIENCE_S: Final = 180.0
POLL_S: Final = 0.005
PROMPT: Final = b"(dejavm) "


def run_directory(home: Home) -> Path:
    """The directory of the test's one running machine, once it has made its sockets."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := list(home.runtime.glob("dejavm-*/monitor"))):
        assert time.monotonic() < deadline, "no machine has opened its monitor"
        time.sleep(POLL_S)
    (path,) = found
    return path.parent


def connect(path: Path) -> socket.socket:
    """A connection to a unix socket, once somebody listens there."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(PATIENCE_S)
        try:
            peer.connect(str(path))
        except OSError:
            peer.close()
            assert time.monotonic() < deadline, f"nobody listens at {path}"
            time.sleep(POLL_S)
        else:
            return peer


def host_inputs(recording: Path) -> list[tuple[str, HostInput]]:
    """Every input from outside in a recording, with the name of the device that it went to."""
    opened = Recording.open(recording)
    names = [slot.name for slot in opened.board.devices]
    messages = ((frame.target, decode(frame.type, frame.payload)) for frame in opened.frames())
    return [(names[node - FIRST_DEVICE], message) for node, message in messages if isinstance(message, HostInput)]


class Refused(Exception):
    """A command was answered with an error; its text is the description."""


class Qmp:
    """A QMP client that has negotiated; `events` are those heard so far."""

    def __init__(self, home: Home, path: Path | None = None) -> None:
        self._socket = connect(path or run_directory(home) / "qmp")
        # Written at once: a file that is closed with something unsent would send it to a peer that has gone.
        self._file = self._socket.makefile("rb")
        self.events: list[dict[str, Any]] = []
        self.greeting = self._hear()
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Do a command; its value, or Refused.  An underscore in an argument's name stands for a minus."""
        self.send(command, **arguments)
        return self.answer()

    def send(self, command: str, **arguments: Any) -> None:
        """Ask for a command; its answer is taken later."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps({"execute": command, "arguments": given}).encode() + b"\n")

    def answer(self) -> Any:
        """The value of the oldest command that has no answer, or Refused."""
        while True:
            document = self._hear()
            if "event" in document:
                self.events.append(document)
            elif "error" in document:
                raise Refused(document["error"]["desc"])
            else:
                return document["return"]

    def await_event(self, name: str) -> dict[str, Any]:
        """The first event of that name among those heard and to come."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    return event
            self.events.append(self._hear())

    def _hear(self) -> dict[str, Any]:
        line = self._file.readline()
        assert line, "the monitor has hung up"
        document: dict[str, Any] = json.loads(line)
        return document


class Lines:
    """A client of the line mode."""

    def __init__(self, home: Home, path: Path | None = None) -> None:
        self._socket = connect(path or run_directory(home) / "monitor")
        self.greeting = self._text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def line(self, text: str) -> str:
        """Type a line; what it prints."""
        self._socket.sendall(text.encode() + b"\n")
        return self._text()

    def _text(self) -> str:
        heard = b""
        while not heard.endswith(PROMPT):
            data = self._socket.recv(65536)
            assert data, f"the monitor has hung up after {heard!r}"
            heard += data
        return heard.removesuffix(PROMPT).decode().replace("\r\n", "\n")
