"""A log's file under its writer's hands: bytes are gathered, and given to the host whole chunks at a time.

Lives here: a full disk, and going on behind what another process has written.  Never here: what the bytes mean.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from machine.errors import LogError
from machine.recording.layout import FILE_MODE

if TYPE_CHECKING:
    from pathlib import Path


class LogFile:
    """The log's file: gathers what MCAP's writer says, hands it to the host whole chunks at a time.

    Python's own buffered files write again what failed when they are closed; this one does not.  `follow`: the file
    is there, and until cut() nothing is written: what is said must be what is in it.
    """

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if follow else os.O_CREAT | os.O_TRUNC)
        self._fd = os.open(path, flags, FILE_MODE)
        self._follows = follow
        self._pending = bytearray()
        self._written = 0
        self._whole = 0
        """Where what stays ends if the host refuses what comes next."""
        self._refused = ""
        """Why the host has refused a write: behind it nothing can be written."""

    def write(self, data: bytes) -> int:
        """Gather."""
        self._pending += data
        return len(data)

    def tell(self) -> int:
        """Bytes said so far."""
        return self._written + len(self._pending)

    def flush(self, *, more: bool = False) -> None:
        """Give to the host what has been gathered; LogError.

        `more`: it is nothing without what comes next.  If the host refuses that, this goes, too.
        """
        if self._refused:
            raise LogError(self._refused)
        if self._follows:
            self._compare()
            return
        try:
            while self._pending:
                written = os.write(self._fd, self._pending)
                self._written += written
                del self._pending[:written]
        except OSError as error:
            # On a full disk a part of the chunk may have found room: without it the log just ends.
            with suppress(OSError):
                os.ftruncate(self._fd, self._whole)
            self._refused = f"{self._path}: cannot write the log: {error.strerror}"
            raise LogError(self._refused) from error
        if not more:
            self._whole = self._written

    def cut(self) -> None:
        """Drop what the file has behind what has been said; from here on it is written.  LogError."""
        self.flush()
        try:
            os.ftruncate(self._fd, self._written)
            os.lseek(self._fd, self._written, os.SEEK_SET)
        except OSError as error:
            raise LogError(f"{self._path}: cannot cut the log: {error.strerror}") from error
        self._follows = False
        self._whole = self._written

    def close(self) -> None:
        """Let go; what has only been gathered is lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _compare(self) -> None:
        there = os.pread(self._fd, len(self._pending), self._written)
        if there != self._pending:
            at = self._written
            raise LogError(f"{self._path}: cannot be gone on with: another dejavm has written it, at byte {at}")
        self._written += len(there)
        self._pending.clear()
