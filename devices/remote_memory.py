"""Guest memory on another host: read by messages, page by page, while the CPU waits for this device.

Lives here: what has been read for one message is kept for that message.
Never here: what is there; the CPU node knows, and applies our writes in their order before it answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.memory import LARGEST_READ, inside
from machine.board import PAGE_BYTES, RAM_BASE
from machine.icount import CPU
from machine.message import DmaData, DmaRead

if TYPE_CHECKING:
    from devices.link import Link

MOST_PAGES: Final = 256
"""Pages asked for at once; a payload must not grow beyond what the wire carries."""


class RemoteMemory:
    """RAM of `size` bytes from RAM_BASE on, at the other end of the link.

    While a message is handled nobody but this device changes memory: a page that was read stays right, with our own
    writes in it.  A small read brings its whole page, since rings and descriptors lie close together.
    """

    def __init__(self, link: Link, size: int) -> None:
        self._link = link
        self._size = size
        self._pages: dict[int, bytearray] = {}

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory as it is after all writes so far; bytes outside of RAM read as zero."""
        assert 0 <= size <= LARGEST_READ, f"a device reads {size} bytes in one piece"
        out = bytearray(size)
        start, end = max(address, RAM_BASE), min(address + size, RAM_BASE + self._size)
        if start >= end:
            return bytes(out)
        first, last = start // PAGE_BYTES, (end - 1) // PAGE_BYTES
        self._fetch(first, last)
        pages = b"".join(self._pages[number] for number in range(first, last + 1))
        offset = start - first * PAGE_BYTES
        out[start - address : end - address] = pages[offset : offset + end - start]
        return bytes(out)

    def written(self, address: int, data: bytes) -> None:
        """A write has been sent to the CPU node: pages that are here change with it."""
        at = 0
        while at < len(data):
            number, offset = divmod(address + at, PAGE_BYTES)
            part = data[at : at + PAGE_BYTES - offset]
            if number in self._pages:
                self._pages[number][offset : offset + len(part)] = part
            at += len(part)

    def begin(self) -> None:
        """Another message: others may have written since."""
        self._pages.clear()

    def settled(self) -> None:
        """The guest has gone on."""
        self._pages.clear()

    def inside(self, address: int, data: bytes) -> tuple[int, bytes]:
        """The part of a write that lies in RAM: first address and bytes, which may be none."""
        return inside(self._size, address, data)

    def moved(self, path: str) -> None:
        """The other end of the link is whoever is the CPU."""
        self._pages.clear()

    def close(self) -> None:
        """Nothing is held."""
        self._pages.clear()

    def _fetch(self, first: int, last: int) -> None:
        """Have these pages here; each row of those that are missing is asked for in one go."""
        number = first
        while number <= last:
            if number in self._pages:
                number += 1
                continue
            count = 1
            while number + count <= last and number + count not in self._pages and count < MOST_PAGES:
                count += 1
            question = DmaRead(number * PAGE_BYTES, count * PAGE_BYTES)
            data = self._link.ask(question, DmaData, CPU).data
            for i in range(count):
                self._pages[number + i] = bytearray(data[i * PAGE_BYTES : (i + 1) * PAGE_BYTES])
            number += count
