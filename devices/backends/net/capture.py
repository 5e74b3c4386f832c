"""A capture of a card's frames in a file, whole blocks only, that never makes the machine wait."""

from __future__ import annotations

import logging
import os
import stat
from typing import Final

from machine.errors import BackendError, reason_of
from machine.pcapng import head, packet

log = logging.getLogger("dejavm")

MODE: Final = 0o644


class Capture:
    """A pcapng file, a FIFO that somebody reads, or nothing if the path is ""."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path
        self._descriptor = -1
        self._rest = b""
        """The end of a block that a slow reader has not taken yet."""
        self.lost = 0
        """Frames that are not in the capture."""

    @property
    def running(self) -> bool:
        """Whether frames are wanted."""
        return self._descriptor >= 0

    def open(self, position: int = 0) -> None:
        """Create the file, or cut it to what it was; BackendError names it."""
        if not self._path:
            return
        # A FIFO whose reader is missing is refused, and one whose reader is slow does not block.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, MODE)
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, position)
                os.lseek(self._descriptor, position, os.SEEK_SET)
        except (OSError, ValueError) as error:
            raise BackendError(f"{self._name}: cannot write capture {self._path}: {reason_of(error)}") from error
        if not position:
            self._append(head(self._name))

    @property
    def position(self) -> int:
        """Bytes in the file so far; 0 for what has no places."""
        try:
            return os.lseek(self._descriptor, 0, os.SEEK_CUR) if self.running else 0
        except OSError:
            return 0

    def write(self, frame: bytes, icount: int, *, inbound: bool) -> None:
        """Append one frame; `inbound` is towards the guest."""
        if self._rest:
            self._append(b"")
        if self._rest or not self.running:
            self._lose("its reader is slow")
        else:
            self._append(packet(frame, icount, inbound=inbound))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, block: bytes) -> None:
        data = self._rest + block
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error.strerror or str(error))
            self.close()
            data = b""
        self._rest = data

    def _lose(self, why: str) -> None:
        if not self.lost:
            log.warning("%s: capture %s misses frames: %s", self._name, self._path, why)
        self.lost += 1
