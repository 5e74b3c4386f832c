"""The running machine's monitor, as a terminal that is shared with a serial line sees it: lines to it, text from it."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from devices.backends.char.lineedit import LineEditor
from devices.backends.place import run_directory
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET_NAME: Final = "monitor"
READ_BYTES: Final = 4096
UNSENT_BYTES: Final = 1 << 16
"""Lines kept for a monitor that does not read them; more are refused."""


class MonitorLine:
    """One connection, or none, to the monitor's socket in the machine's directory, and the line being edited for it."""

    def __init__(self, show: Callable[[bytes], None], gone: Callable[[str], None]) -> None:
        self._show = show
        self._gone = gone
        self._editor = LineEditor(show, self._send)
        self._socket: socket.socket | None = None
        self._unsent = bytearray()

    @property
    def connected(self) -> bool:
        """Whether the monitor is there."""
        return self._socket is not None

    def call(self) -> str:
        """Begin to talk to the monitor, or go on; "" or why it does not answer.  Nothing is waited for."""
        self._editor.clear()
        if self._socket is not None:
            # It has greeted us before; an empty line makes it say its prompt.
            self._send(b"")
            return ""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.connect(str(run_directory() / SOCKET_NAME))
        except BlockingIOError:
            connection.close()
            return "it is busy"
        except BackendError:
            connection.close()
            return "this process does not belong to a running machine"
        except OSError as error:
            connection.close()
            return error.strerror or str(error)
        self._socket = connection
        return ""

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._unsent.clear()
        self._editor.clear()

    def type(self, keys: bytes) -> None:
        """Keys for the line."""
        self._editor.feed(keys)

    def descriptors(self, room: int) -> list[tuple[int, bool, bool]]:
        """The connection, read while its text can be shown."""
        if self._socket is None or not (room > 0 or self._unsent):
            return []
        return [(self._socket.fileno(), room > 0, bool(self._unsent))]

    def owns(self, descriptor: int) -> bool:
        """Whether a descriptor is the connection's."""
        return self._socket is not None and self._socket.fileno() == descriptor

    def ready(self, readable: bool, writable: bool) -> None:
        """Show what the monitor says, send what it has not taken."""
        if writable:
            self._flush()
        if readable and self._socket is not None:
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self._show(data)
            else:
                self._lose("it has hung up")

    def _send(self, line: bytes) -> None:
        """Say a line; to nobody, when it has just hung up."""
        if self._socket is None:
            return
        if len(self._unsent) + len(line) < UNSENT_BYTES:
            self._unsent += line + b"\n"
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent and self._socket is not None:
                del self._unsent[: self._socket.send(self._unsent, socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            return
        except OSError:
            self._lose("it has hung up")

    def _lose(self, why: str) -> None:
        with contextlib.suppress(OSError):
            self.close()
        self._gone(why)
