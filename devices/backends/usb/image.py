"""A disk image on the host: a file or a block device, opened once and locked against other writers.

Its methods may be called in a thread; each is one positioned system call and whatever the host makes of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Final

from devices.usb.messages import MOST_BLOCKS
from machine.errors import BackendError, reason_of


class Image:
    """An open image; `size` in bytes as it was when it was opened."""

    def __init__(self, path: str, where: str, *, block_size: int, read_only: bool) -> None:
        """BackendError, with `where` in front, says why it cannot be used."""
        self.path = path
        self.block_size: Final = block_size
        self.read_only: Final = read_only
        self._where = where
        flags = os.O_RDONLY if read_only else os.O_RDWR
        try:
            # A FIFO in its place would keep the machine waiting.
            self.descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            hint = "; readonly=on only reads it" if isinstance(error, PermissionError) and not read_only else ""
            raise BackendError(f"{where}: cannot open image {path}: {reason_of(error)}{hint}") from error
        try:
            self.size = self._measure()
            self._lock()
        except BackendError:
            self.close()
            raise

    def read(self, first: int, blocks: int) -> bytes:
        """Whole blocks; OSError, EIO where the image has become shorter."""
        self._check(first, blocks)
        wanted, at = blocks * self.block_size, first * self.block_size
        data = os.pread(self.descriptor, wanted, at)
        while len(data) < wanted:
            more = os.pread(self.descriptor, wanted - len(data), at + len(data))
            if not more:
                raise OSError(errno.EIO, f"{self.path} ends before block {first + blocks}")
            data += more
        return data

    def write(self, first: int, blocks: int, data: bytes) -> None:
        """Whole blocks; OSError, EIO where the image has become shorter."""
        self._check(first, blocks)
        if len(data) != blocks * self.block_size:
            raise OSError(errno.EINVAL, f"{len(data)} bytes are not {blocks} blocks")
        if self.read_only:
            raise OSError(errno.EROFS, f"{self.path} is only read")
        at = first * self.block_size
        if os.lseek(self.descriptor, 0, os.SEEK_END) < at + len(data):
            raise OSError(errno.EIO, f"{self.path} ends before block {first + blocks}")
        left = memoryview(data)
        while left:
            done = os.pwrite(self.descriptor, left, at)
            left, at = left[done:], at + done

    def flush(self) -> None:
        """What was written is on the host's disk; OSError."""
        os.fdatasync(self.descriptor)

    def vanished(self) -> bool:
        """Whether nobody can find it any more: its last name has been removed, here or on the server that has it."""
        try:
            return os.fstat(self.descriptor).st_nlink == 0
        except OSError:
            return True

    def close(self) -> None:
        """Close and unlock it.  Safe to call twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _measure(self) -> int:
        mode = os.fstat(self.descriptor).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise BackendError(f"{self._where}: image {self.path} is neither a file nor a block device")
        size = os.lseek(self.descriptor, 0, os.SEEK_END)
        if not 0 < size // self.block_size <= MOST_BLOCKS or size % self.block_size:
            raise BackendError(
                f"{self._where}: image {self.path} has {size} bytes, not one or more blocks of {self.block_size}"
            )
        return size

    def _lock(self) -> None:
        try:
            fcntl.flock(self.descriptor, (fcntl.LOCK_SH if self.read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackendError(
                f"{self._where}: image {self.path} is in use; several machines may share it only with readonly=on"
            ) from error
        except OSError as error:
            raise BackendError(f"{self._where}: cannot lock image {self.path}: {reason_of(error)}") from error

    def _check(self, first: int, blocks: int) -> None:
        if (first + blocks) * self.block_size > self.size:
            raise OSError(errno.EINVAL, f"{self.path} has no block {first + blocks - 1}")
