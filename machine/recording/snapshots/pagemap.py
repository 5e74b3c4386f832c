"""Which page of guest memory is which page of which pack, as runs.

Lives here: runs, what changes in them, their bytes.
Never here: files, and what is in a page.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Final

from machine.errors import StateError
from machine.recording.snapshots.snapshot import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACK_SHIFT: Final = 32
SLOT_MASK: Final = (1 << PACK_SHIFT) - 1
NO_PAGE: Final = -1
"""A page that is all zero is kept nowhere."""
Run = tuple[int, int, int, int]
"""First page, pages, pack, first slot: page first + n is slot + n of the pack."""


def spot(pack: int, slot: int) -> int:
    """A slot of a pack as one number."""
    return pack << PACK_SHIFT | slot


class PageMap:
    """Runs in ascending order of their pages, as long as they can be; a page in none of them is all zero."""

    __slots__ = ("_counts", "_firsts", "_packs", "_slots")

    def __init__(self) -> None:
        self._firsts = array("I")
        self._counts = array("I")
        self._packs = array("I")
        self._slots = array("I")

    def __len__(self) -> int:
        return len(self._firsts)

    def runs(self) -> Iterator[Run]:
        """Every run."""
        return zip(self._firsts, self._counts, self._packs, self._slots, strict=True)

    @property
    def pages(self) -> int:
        """Pages that are not all zero."""
        return sum(self._counts)

    def packs(self) -> dict[int, int]:
        """Pack -> how many pages are in it."""
        found: dict[int, int] = {}
        for pack, count in zip(self._packs, self._counts, strict=True):
            found[pack] = found.get(pack, 0) + count
        return found

    def changed(self, changes: Mapping[int, int]) -> PageMap:
        """The map with some pages elsewhere: page -> its spot, or NO_PAGE where it has become all zero."""
        pages = sorted(changes)
        total, at = len(pages), 0
        out = PageMap()
        for first, count, pack, slot in self.runs():
            while at < total and pages[at] < first:
                out._put(pages[at], changes[pages[at]])
                at += 1
            start, end = first, first + count
            while at < total and pages[at] < end:
                page = pages[at]
                if page > start:
                    out._add(start, page - start, pack, slot + start - first)
                out._put(page, changes[page])
                start = page + 1
                at += 1
            if start < end:
                out._add(start, end - start, pack, slot + start - first)
        for page in pages[at:]:
            out._put(page, changes[page])
        return out

    def encode(self) -> bytes:
        """Four columns of 32-bit little-endian numbers: first pages, counts, packs, slots."""
        return b"".join(column_bytes(column) for column in (self._firsts, self._counts, self._packs, self._slots))

    @classmethod
    def decode(cls, data: bytes, memory: int) -> PageMap:
        """The map in its bytes; StateError if it is none of a memory of so many bytes."""
        if len(data) % 16:
            raise StateError("a page map of a broken number of bytes")
        size = len(data) // 4
        out = cls()
        out._firsts, out._counts, out._packs, out._slots = (
            (column_of(data[start : start + size]) for start in range(0, len(data), size or 1))
            if data
            else (out._firsts, out._counts, out._packs, out._slots)
        )
        end = 0
        for first, count in zip(out._firsts, out._counts, strict=True):
            if first < end or not count:
                raise StateError(f"a page map whose run at page {first} is not behind the one before")
            end = first + count
        if end * PAGE_BYTES > memory:
            raise StateError(f"a page map with page {end - 1}, behind the end of memory")
        return out

    def _put(self, page: int, where: int) -> None:
        if where != NO_PAGE:
            self._add(page, 1, where >> PACK_SHIFT, where & SLOT_MASK)

    def _add(self, first: int, count: int, pack: int, slot: int) -> None:
        """Append a run, as part of the last one where it goes on from it."""
        if self._firsts:
            last = self._counts[-1]
            if self._firsts[-1] + last == first and self._slots[-1] + last == slot and self._packs[-1] == pack:
                self._counts[-1] = last + count
                return
        self._firsts.append(first)
        self._counts.append(count)
        self._packs.append(pack)
        self._slots.append(slot)


def column_bytes(column: array[int]) -> bytes:
    """32-bit numbers as little-endian bytes."""
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def column_of(data: bytes) -> array[int]:
    """32-bit numbers from little-endian bytes."""
    column = array("I", data)
    if sys.byteorder == "big":
        column.byteswap()
    return column
