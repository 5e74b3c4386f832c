"""Guest memory of one process alone: a fork of the process keeps it as it is, page by page as they change."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cpu_node.memory import GuestMemory
from machine.board import PAGE_BYTES
from machine.errors import BoardError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGEMAP: Final = "/proc/self/pagemap"
ENTRY_BYTES: Final = 8
THERE: Final = bytes(bool(high & 0xC0) for high in range(256))
"""What an entry's highest byte says: bit 63 is set for a page in memory, bit 62 for one that has been swapped out
(the kernel's admin-guide/mm/pagemap)."""


class PrivateMemory(GuestMemory):
    """`size` bytes at RAM_BASE, zero at power-on, in anonymous private memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        try:
            self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise BoardError(f"machine.memory: the host has no {size} bytes: {error.strerror}") from error
        self._view = memoryview(self._map)

    def clear(self) -> None:
        """All zero, as at power-on."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The parts that this process, or one that it was forked from, has ever touched, in whole pages.

        All of memory, where the host does not tell.
        """
        entries, expected = b"", self.size // PAGE_BYTES * ENTRY_BYTES
        with suppress(OSError), open(PAGEMAP, "rb", buffering=0) as pagemap:
            pagemap.seek(self.host_address // PAGE_BYTES * ENTRY_BYTES)
            entries = pagemap.read(expected)
        if len(entries) != expected:
            yield 0, self.size
            return
        there = entries[ENTRY_BYTES - 1 :: ENTRY_BYTES].translate(THERE)
        end = 0
        while (start := there.find(1, end)) >= 0:
            behind = there.find(0, start)
            end = behind if behind >= 0 else len(there)
            yield start * PAGE_BYTES, end * PAGE_BYTES
