"""The terminal or the pipes this process was started on.

A terminal is made raw, and Ctrl-A is the escape key (mux.py), as with QEMU's -nographic; a pipe is just a pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any, Final

from devices.backends.char.base import CharBackend
from devices.backends.char.sink import write_nonblocking, write_polled
from devices.backends.words import parse_options, switch
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from devices.model import Backend, Submit

DEADLY_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
STDIN: Final = 0


class StdioBackend(CharBackend):
    """Standard input and output; the end of input is not the end of the run."""

    def __init__(self, name: str, stdin: int = STDIN, stdout: int = 1) -> None:
        super().__init__(name)
        self._in = stdin
        self._out = stdout
        self._own_out = -1
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
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
                self._saved = termios.tcgetattr(self._in)
                atexit.register(self.close)
                for number in DEADLY_SIGNALS:
                    self._handlers[number] = signal.signal(number, _leave)
                termios.tcsetattr(self._in, termios.TCSANOW, raw_mode(self._saved))

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """Both are inherited; keys that a predecessor has read and not told are lost."""
        self.open(submit)
        self._blocked = owes
        return True

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._in, termios.TCSANOW, self._saved)
            self._saved = None
            atexit.unregister(self.close)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        if self._own_out >= 0:
            os.close(self._own_out)
            self._own_out = -1

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Input while there is room for it, output while it owes us room."""
        wanted = []
        if not self._at_end and room > 0:
            wanted.append((self._in, True, False))
        if self._blocked:
            wanted.append((self._output, False, True))
        return wanted

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Read what is there, or go on writing."""
        if descriptor == self._in and readable and not self._at_end and room > 0:
            self._read(room)
        if descriptor == self._output and writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)

    def write(self, data: bytes) -> BackendResult:
        """Write as much as goes; a reader that has gone is an error in the result."""
        write = write_nonblocking if self._own_out >= 0 else write_polled
        result = write(self._output, data)
        self._blocked = result.accepted < len(data) and not result.error
        return result

    @property
    def is_terminal(self) -> bool:
        """Whether a terminal has been made raw, so that nothing but us interprets its keys."""
        return self._saved is not None

    @property
    def _output(self) -> int:
        return self._own_out if self._own_out >= 0 else self._out

    def _read(self, room: int) -> None:
        try:
            data = os.read(self._in, room)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._submit(HostEvent.DATA, data, 0)
        else:
            self._at_end = True


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
    """`stdio[,mux=on]`, with the escape key on a terminal; with the monitor behind it if it is to be shared."""
    where = f"{name}: backend stdio"
    options = parse_options(argument, ("mux", "signal"), where)
    if switch(options.get("signal", "off"), f"{where}: signal"):
        raise BackendError(f"{where}: signal=on: Ctrl-C belongs to the guest; Ctrl-A x ends the run")
    if switch(options.get("mux", "off"), f"{where}: mux"):
        from devices.backends.char.mux import create_muxed  # noqa: PLC0415  # few lines are shared

        return create_muxed("stdio", name)
    if not os.isatty(STDIN):
        return StdioBackend(name)
    from devices.backends.char.mux import MuxBackend  # noqa: PLC0415  # a pipe needs no escape key

    return MuxBackend(StdioBackend(name), name, monitor=False)
