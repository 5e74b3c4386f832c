"""Somebody at the serial line of the Debian guest, who types, reads, and changes what is plugged in."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from machine.codec import decode
from machine.icount import BROKER
from machine.message import BackendChanged, ChangeBackend
from machine.port import Port

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.harness.machine import Home

PROMPT: Final = b"/ # "
POWER_KEY_UNHEEDED: Final = "rm -r /etc/acpi/PWRF"
"""What has the guest run on behind its power key."""
MEMORY: Final = "128M"
DEADLINE_S: Final = 180.0
ANSWER_S: Final = 20.0
POLL_S: Final = 0.01
LAST_WORDS_S: Final = 20.0


class DebianSession:
    """A recorded machine with its serial line on a socket; `said` is all that it has written there.

    `branch` is where it leaves another session's recording, REC@ICOUNT, at a prompt.
    """

    def __init__(self, home: Home, *args: str | Path, name: str = "a", branch: str = "") -> None:
        self.home = home
        self.recording = home.work / f"{name}.dejavm"
        self.said = b""
        self._read = 0
        line = home.work / f"{name}.line"
        self._branch = branch
        options = ("--serial", f"unix:{line},server=on", "-o", self.recording, *args)
        command = ("branch", branch) if branch else ("record", "--memory", MEMORY)
        self._machine = home.start(*command, *options)
        self._peer = self._connect(line)

    def __enter__(self) -> DebianSession:
        if self._branch:
            # The prompt has been said in the parent's time.
            self.type("")
        self.until(PROMPT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the shell, which switches the machine off, or the machine as it is when the test has failed."""
        with self._peer:
            if kind is None:
                self._peer.sendall(b"exit\n")
                self.until(b"reboot: Power down")
        if kind is None:
            done = self._machine.finish()
            assert done.exit_code == 0, done.stderr
        else:
            # One that has ended says why.
            with suppress(subprocess.TimeoutExpired):
                self._machine.process.wait(LAST_WORDS_S)
            self._machine.process.kill()
            print(self._machine.process.communicate()[1].decode(errors="replace"))

    def until(self, mark: bytes) -> bytes:
        """What is said up to a mark and with it, from behind the last one on."""
        while (found := self.said.find(mark, self._read)) < 0:
            data = self._peer.recv(1 << 16)
            assert data, f"the line was closed: {self.said[-2000:].decode(errors='replace')}"
            self.said += data
        start, self._read = self._read, found + len(mark)
        return self.said[start : self._read]

    def type(self, command: str) -> None:
        """Type a command and go on."""
        self._peer.sendall(command.encode() + b"\n")

    def do(self, command: str) -> str:
        """Type a command and wait for the next prompt; what was said between the two, as lines."""
        self.type(command)
        # The echo of what is typed ends with the line.
        self.until(b"\n")
        return self.until(PROMPT).removesuffix(PROMPT).decode(errors="replace").replace("\r", "")

    def plug(self, word: str, node: str = "usb0") -> str:
        """Change a device's backend while the machine runs; why it could not be, "" if it was."""
        (control,) = self.home.runtime.glob("**/control")
        port = Port(f"ipc://{control}")
        try:
            port.send(ChangeBackend(node, word), BROKER, 0)
            frame = port.receive(ANSWER_S)
            assert frame is not None, "the broker does not answer"
            message = decode(frame.type, frame.payload)
            assert isinstance(message, BackendChanged)
            return message.error
        finally:
            port.close()

    def _connect(self, line: Path) -> socket.socket:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            peer = socket.socket(socket.AF_UNIX)
            peer.settimeout(DEADLINE_S)
            try:
                peer.connect(str(line))
            except OSError:
                peer.close()
                assert self._machine.process.poll() is None, self._machine.finish().stderr
                assert time.monotonic() < deadline
                time.sleep(POLL_S)
            else:
                return peer
