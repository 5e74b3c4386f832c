"""Output into a file, as QEMU's `file` does it: the file is emptied first, nothing comes in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devices.backends.char.base import CharBackend, require_path
from devices.backends.char.sink import write_nonblocking
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Submit

MODE = 0o644


class FileBackend(CharBackend):
    """One file; a FIFO or a terminal in its place may take less at a time."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._descriptor = -1
        self._blocked = False

    def open(self, submit: Submit) -> None:
        """Create or empty the file; BackendError names it."""
        super().open(submit)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, MODE)
        except (OSError, ValueError) as error:
            raise BackendError(f"{self._name}: cannot write file {self._path}: {error}") from error

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
        self._blocked = result.accepted < len(data) and not result.error
        return result


def create_file(argument: str, name: str) -> Backend:
    """`file:PATH`."""
    return FileBackend(require_path("file", argument, name), name)
