"""Guest memory: a shared mapping that devices on the same host can see.

Lives here: reading, writing, hashing.  Never here: what the bytes mean, and dropping translations of
code that was overwritten (cpu_node/engine.py does that).
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from machine.board import PAGE_BYTES, RAM_BASE
from machine.errors import BoardError

if TYPE_CHECKING:
    from io import FileIO

ZERO_PAGE: Final = bytes(PAGE_BYTES)
_INDEX_BYTES: Final = 8


class GuestMemory:
    """`size` bytes at RAM_BASE, zero at power-on, backed by anonymous shared memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._fd = os.memfd_create("dejavm-ram")
        try:
            os.ftruncate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
        except OSError as error:
            raise BoardError(f"machine.memory: the host has no {size} bytes: {error.strerror}") from error
        self._view = memoryview(self._map)

    @property
    def path(self) -> str:
        """Where another process of this host finds the memory."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def host_address(self) -> int:
        """Where the mapping starts in this process."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def clear(self) -> None:
        """All zero, as at power-on, for everybody who sees it."""
        self._map.madvise(mmap.MADV_REMOVE)

    @property
    def view(self) -> memoryview:
        """All of it, to be written; translations of code that is overwritten are the caller's to drop."""
        return self._view

    @property
    def end(self) -> int:
        """The guest physical address behind the last byte."""
        return RAM_BASE + self.size

    def holds(self, address: int, size: int) -> bool:
        """Whether a guest physical range lies inside."""
        return address >= RAM_BASE and address + size - RAM_BASE <= self.size

    def read(self, address: int, size: int) -> bytes:
        """Bytes of guest physical memory; outside of it zero."""
        start = max(address, RAM_BASE)
        end = min(address + size, RAM_BASE + self.size)
        if start >= end:
            return bytes(size)
        inside = bytes(self._view[start - RAM_BASE : end - RAM_BASE])
        return bytes(start - address) + inside + bytes(address + size - end)

    def write(self, address: int, data: bytes) -> tuple[int, int]:
        """Store what lies inside memory; the (address, size) that was stored."""
        start = max(address, RAM_BASE)
        end = min(address + len(data), RAM_BASE + self.size)
        if start >= end:
            return address, 0
        self._view[start - RAM_BASE : end - RAM_BASE] = data[start - address : end - address]
        return start, end - start

    def load(self, address: int, file: FileIO, size: int) -> int:
        """Read `size` bytes of a file straight into a range that lies inside; fewer are read if it ends before."""
        start = address - RAM_BASE
        done = 0
        while done < size and (count := file.readinto(self._view[start + done : start + size])):
            done += count
        return done

    def page(self, number: int) -> bytes:
        """One page, by its number from RAM_BASE on."""
        return self._map[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Every page that is not all zero, as (page number, bytes), in order."""
        for start, end in self.extents():
            for offset in range(start, end, PAGE_BYTES):
                page = self._map[offset : offset + PAGE_BYTES]
                if page != ZERO_PAGE:
                    yield offset // PAGE_BYTES, page

    def digest(self) -> bytes:
        """SHA-256 over (page number as 8 bytes little-endian, page) of every page that is not all zero."""
        total = hashlib.sha256()
        for number, page in self.pages():
            total.update(number.to_bytes(_INDEX_BYTES, "little"))
            total.update(page)
        return total.digest()

    def extents(self) -> Iterator[tuple[int, int]]:
        """The parts of the backing file that were ever touched, in whole pages."""
        end = 0
        while end < self.size:
            try:
                start = os.lseek(self._fd, end, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but holes behind
                return
            end = os.lseek(self._fd, start, os.SEEK_HOLE)
            yield start - start % PAGE_BYTES, min(self.size, -(-end // PAGE_BYTES) * PAGE_BYTES)
