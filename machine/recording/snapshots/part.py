"""A file that is there whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from machine.errors import LogError
from machine.recording.layout import FILE_MODE, PART_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Part:
    """A file under another name until it is kept; whatever happens before, nothing stays.

    A process that is killed leaves the other name, which no reader looks at and the next writer removes.
    LogError with the host's words when the host refuses something.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch = path.with_name(path.name + PART_SUFFIX)
        self._fd = -1
        self.size = 0
        """Bytes written so far."""

    def __enter__(self) -> Part:
        try:
            # What a killed writer has left goes, and a link to another file with it.
            self._scratch.unlink(missing_ok=True)
            self._fd = os.open(self._scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise self._refused(error) from error
        return self

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append."""
        rest = memoryview(data)
        try:
            while rest:
                count = os.write(self._fd, rest)
                self.size += count
                rest = rest[count:]
        except OSError as error:
            raise self._refused(error) from error

    def keep(self) -> None:
        """Give the file its name, over one that has it already."""
        try:
            # Only here does a host that writes late, over a network, say that there was no room.
            fd, self._fd = self._fd, -1
            os.close(fd)
            self._scratch.rename(self._path)
        except OSError as error:
            raise self._refused(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._scratch.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> LogError:
        return LogError(f"{self._path}: cannot write the snapshot: {error.strerror}")
