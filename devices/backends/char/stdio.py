"""The terminal or the pipes this process was started on.

A terminal is made raw, and Ctrl-A is the escape key, as with QEMU's -nographic; a pipe is just a pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any, Final

from devices.backends.char.base import CharBackend, refuse_argument
from devices.backends.char.escape import EscapeKeys
from devices.backends.char.sink import write_nonblocking, write_polled
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from devices.model import Backend, Submit

TYPED_AHEAD: Final = 4096
"""Keys taken from a terminal before the guest has room, so that the escape key works when it has none."""
DEADLY_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class StdioBackend(CharBackend):
    """Standard input and output; the end of input is not the end of the run."""

    def __init__(self, name: str, stdin: int = 0, stdout: int = 1) -> None:
        super().__init__(name)
        self._in = stdin
        self._out = stdout
        self._own_out = -1
        self._saved: list[Any] | None = None
        self._keys: EscapeKeys | None = None
        self._typed = bytearray()
        self._at_end = False
        self._blocked = False

    def open(self, submit: Submit) -> None:
        """Make a terminal raw; everything else stays as it is."""
        super().open(submit)
        with contextlib.suppress(OSError):
            # A description of our own can be non-blocking without changing the one that is shared.
            if os.isatty(self._out):
                self._own_out = os.open(os.ttyname(self._out), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with contextlib.suppress(OSError, termios.error):
            if os.isatty(self._in):
                self._keys = EscapeKeys(self._print_help)
                self._saved = termios.tcgetattr(self._in)
                atexit.register(self.close)
                for number in DEADLY_SIGNALS:
                    signal.signal(number, _leave)
                termios.tcsetattr(self._in, termios.TCSANOW, raw_mode(self._saved))

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._in, termios.TCSANOW, self._saved)
            self._saved = None
            atexit.unregister(self.close)
        if self._own_out >= 0:
            os.close(self._own_out)
            self._own_out = -1

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Input while somebody has room for it, output while it owes us room."""
        wanted = []
        if not self._at_end and self._space(room) > 0:
            wanted.append((self._in, True, False))
        if self._blocked:
            wanted.append((self._output, False, True))
        return wanted

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Read what is there, or go on writing."""
        if descriptor == self._in and readable and not self._at_end and self._space(room) > 0:
            self._read(room)
        if descriptor == self._output and writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)

    def advance(self, room: int) -> None:
        """Hand on what was typed ahead."""
        if self._typed and room > 0:
            data = bytes(self._typed[:room])
            del self._typed[:room]
            self._submit(HostEvent.DATA, data, 0)

    def write(self, data: bytes) -> BackendResult:
        """Write as much as goes; a reader that has gone is an error in the result."""
        write = write_nonblocking if self._own_out >= 0 else write_polled
        result = write(self._output, data)
        self._blocked = result.accepted < len(data) and not result.error
        return result

    def wants_quit(self) -> bool:
        """Ctrl-A x was typed."""
        return self._keys is not None and self._keys.quit

    @property
    def _output(self) -> int:
        return self._own_out if self._own_out >= 0 else self._out

    def _space(self, room: int) -> int:
        return TYPED_AHEAD - len(self._typed) if self._keys is not None else room

    def _read(self, room: int) -> None:
        try:
            data = os.read(self._in, self._space(room))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._at_end = True
        if self._keys is None:
            if data:
                self._submit(HostEvent.DATA, data, 0)
            return
        self._typed += self._keys.feed(data)
        for _ in range(self._keys.take_breaks()):
            self._submit(HostEvent.BREAK, b"", 0)
        self.advance(room)

    def _print_help(self, text: str) -> None:
        write_polled(self._out, text.encode())


def raw_mode(attributes: list[Any]) -> list[Any]:
    """Terminal attributes with every key going through; output processing stays, as QEMU leaves it (char-stdio.c)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = attributes
    iflag &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    cc = list(cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return [iflag, oflag | termios.OPOST, cflag, lflag, ispeed, ospeed, cc]


def _leave(number: int, _frame: FrameType | None) -> None:
    """A deadly signal ends the process the long way round, so that the terminal is given back."""
    sys.exit(128 + number)


def create_stdio(argument: str, name: str) -> Backend:
    """`stdio`."""
    refuse_argument("stdio", argument, name)
    return StdioBackend(name)
