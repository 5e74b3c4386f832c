"""A ring of bytes in a file that two processes share: one writes and never waits, one reads what is left.

Lives here: the file's layout, which both sides agree on.
Never here: whose bytes they are.

Layout: magic, capacity, claimed, written, taken (8 bytes each), then `capacity` bytes; byte n of
the stream is at n % capacity.  The writer says which bytes it is about to overwrite (`claimed`) before, and which
are there (`written`) after it has; the reader believes of what it has copied only what was not claimed meanwhile.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path
from typing import Final

from machine.errors import MachineError

MAGIC: Final = b"dvmring1"
HEADER: Final = struct.Struct("@8s4Q")
CAPACITY, CLAIMED, WRITTEN, TAKEN = range(1, 5)
"""Where the fields are in the header, as words."""
MODE: Final = 0o600


def ring_path(directory: Path, name: str) -> Path:
    """Where the ring of a device is in the running machine's directory."""
    return directory / f"ringbuf-{name}"


class RingWriter:
    """The writing side; it makes the file, in place of an older one."""

    def __init__(self, path: Path, capacity: int) -> None:
        """OSError if the file cannot be made."""
        self._path = path
        self._capacity = capacity
        new = path.with_name(path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        try:
            size = HEADER.size + capacity
            # A store where the host has no room would end the process.
            os.posix_fallocate(descriptor, 0, size)
            self._map = mmap.mmap(descriptor, size)
            self._inode = os.fstat(descriptor).st_ino
        except OSError:
            new.unlink()
            raise
        finally:
            os.close(descriptor)
        HEADER.pack_into(self._map, 0, MAGIC, capacity, 0, 0, 0)
        self._fields = _fields(self._map)
        new.replace(path)
        self._written = 0

    def write(self, data: bytes) -> None:
        """Append; the oldest bytes give way."""
        end = self._written + len(data)
        self._fields[CLAIMED] = end
        kept = data[-self._capacity :]
        at = (end - len(kept)) % self._capacity
        first = kept[: self._capacity - at]
        self._map[HEADER.size + at : HEADER.size + at + len(first)] = first
        rest = kept[len(first) :]
        self._map[HEADER.size : HEADER.size + len(rest)] = rest
        self._written = end
        self._fields[WRITTEN] = end

    def close(self) -> None:
        """Remove the file, unless another ring has taken its place."""
        self._fields.release()
        self._map.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


class RingReader:
    """The reading side; what it has read is gone for every later reader."""

    def __init__(self, path: Path) -> None:
        """MachineError if there is no ring."""
        try:
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError) as error:
            raise MachineError(f"{path.name}: there is no ring buffer: {error}") from error
        size = len(self._map)
        magic, self._capacity, _, _, _ = HEADER.unpack_from(self._map) if size > HEADER.size else (b"", 0, 0, 0, 0)
        if magic != MAGIC or size != HEADER.size + self._capacity:
            self._map.close()
            raise MachineError(f"{path.name}: this is no ring buffer")
        self._fields = _fields(self._map)

    def read(self, size: int) -> bytes:
        """Up to `size` of the oldest bytes that are left; none if there are none."""
        written, taken = self._fields[WRITTEN], self._fields[TAKEN]
        start = max(taken, written - self._capacity)
        end = min(start + size, written)
        data = self._copy(start, end)
        # What the writer has claimed meanwhile may have changed under the copy.
        lost = max(0, self._fields[CLAIMED] - self._capacity - start)
        self._fields[TAKEN] = end
        return data[lost:]

    def close(self) -> None:
        """Let go of the file."""
        self._fields.release()
        self._map.close()

    def _copy(self, start: int, end: int) -> bytes:
        at = start % self._capacity
        first = self._map[HEADER.size + at : HEADER.size + min(at + end - start, self._capacity)]
        return first + self._map[HEADER.size : HEADER.size + end - start - len(first)]


def _fields(mapped: mmap.mmap) -> memoryview:
    """The header as words, each loaded and stored at once; struct.pack_into() clears a field before it writes it."""
    return memoryview(mapped)[: HEADER.size].cast("Q")
