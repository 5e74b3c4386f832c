"""Guest memory of one process alone: a fork of the process keeps it as it is, page by page as they change."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from cpu_node.memory import GuestMemory
from machine.errors import BoardError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        """All of it."""
        yield 0, self.size
