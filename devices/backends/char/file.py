"""Output into a file, as QEMU's `file` does it: the file is emptied first, nothing comes in."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

from devices.backends.char.base import CharBackend, require_path
from devices.backends.char.sink import write_nonblocking
from machine.errors import BackendError, reason_of
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Submit

log = logging.getLogger("dejavm")

MODE = 0o644
PLACE_BYTES = 8


class FileBackend(CharBackend):
    """One file; a FIFO or a terminal in its place may take less at a time."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._descriptor = -1
        self._blocked = False
        self._refused = False
        """The last write has failed."""
        self._is_file = False

    def open(self, submit: Submit) -> None:
        """Create or empty the file; BackendError names it."""
        super().open(submit)
        self._open(0)

    @property
    def relives(self) -> bool:
        """A file is cut to what it was, and what followed is written again."""
        return self._is_file

    def memory(self) -> bytes:
        """How long the file is."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR).to_bytes(PLACE_BYTES, "big") if self._is_file else b""

    def recall(self, memory: bytes, submit: Submit) -> None:
        """As long as it was then."""
        super().open(submit)
        self._open(int.from_bytes(memory, "big"))

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """It is open already."""
        super().open(submit)
        self._blocked = owes
        return True

    def _open(self, length: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, MODE)
            self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self._is_file:
                os.ftruncate(self._descriptor, length)
                os.lseek(self._descriptor, length, os.SEEK_SET)
        except (OSError, ValueError) as error:
            raise BackendError(f"{self._name}: cannot write file {self._path}: {reason_of(error)}") from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The file, while it owes us room."""
        return [(self._descriptor, False, True)] if self._blocked else ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """It takes output again."""
        if self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)

    def write(self, data: bytes) -> BackendResult:
        """Append; a full disk is an error in the result."""
        result = write_nonblocking(self._descriptor, data)
        if result.error and not self._refused:
            log.warning("%s: %s; what cannot be written is lost", self._path, os.strerror(result.error))
        self._refused = bool(result.error)
        self._blocked = result.accepted < len(data) and not result.error
        return result


def create_file(argument: str, name: str) -> Backend:
    """`file:PATH`."""
    return FileBackend(require_path("file", argument, name), name)
