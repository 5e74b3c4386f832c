"""Named pipes, as QEMU's `pipe`: PATH.in is read and PATH.out is written, or PATH stands for both.

The pipes must be there (mkfifo).  They are held open in both directions, so readers and writers of the host
may come and go; output that nobody reads fills the pipe, and then the guest waits.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from devices.backends.char.base import CharBackend, require_path
from devices.backends.char.sink import write_nonblocking
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Submit

FLAGS: Final = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class PipeBackend(CharBackend):
    """Two pipes; or one, which then takes output only, as it would give our own output back."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._in = -1
        self._out = -1
        self._blocked = False

    def open(self, submit: Submit) -> None:
        """Open PATH.in and PATH.out, else PATH; BackendError says what is missing."""
        super().open(submit)
        try:
            self._in = _open_pipe(f"{self._path}.in")
            self._out = _open_pipe(f"{self._path}.out")
        except OSError as error:
            self.close()
            if not isinstance(error, FileNotFoundError):
                raise BackendError(f"{self._name}: cannot open pipe {error.filename}: {error.strerror}") from error
            self._open_one()

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """What was in the pipes is in them."""
        self.open(submit)
        self._blocked = owes
        return True

    def close(self) -> None:
        """Close the pipes; what was written stays in them for as long as a reader has them open."""
        for descriptor in (self._in, self._out):
            if descriptor >= 0:
                os.close(descriptor)
        self._in = self._out = -1

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The pipes, as far as something can be done with them."""
        reads = [(self._in, True, False)] if room > 0 and self._in >= 0 else []
        writes = [(self._out, False, True)] if self._blocked else []
        return [*reads, *writes]

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Read what is there, or go on writing."""
        if descriptor == self._out and writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)
        if descriptor == self._in and readable and room > 0:
            try:
                data = os.read(self._in, room)
            except OSError:
                # Somebody else reads from it, and was quicker.
                return
            if data:
                self._submit(HostEvent.DATA, data, 0)

    def write(self, data: bytes) -> BackendResult:
        """Write as much as goes."""
        result = write_nonblocking(self._out, data)
        self._blocked = result.accepted < len(data) and not result.error
        return result

    def _open_one(self) -> None:
        path = self._path
        try:
            self._out = _open_pipe(path)
        except FileNotFoundError as error:
            raise BackendError(
                f"{self._name}: cannot open pipe {path}: there are neither {path}.in and {path}.out nor {path}; "
                f"make them: mkfifo {path}.in {path}.out"
            ) from error
        except OSError as error:
            raise BackendError(f"{self._name}: cannot open pipe {path}: {error.strerror}") from error


def _open_pipe(path: str) -> int:
    """A pipe, open in both directions so that no end of it ever closes; OSError if it is none."""
    descriptor = os.open(path, FLAGS)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(None, "it is not a named pipe (make one with mkfifo)", path)


def create_pipe(argument: str, name: str) -> Backend:
    """`pipe:PATH`."""
    return PipeBackend(require_path("pipe", argument, name), name)
