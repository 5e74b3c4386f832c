"""Guest memory as a device sees it: a read-only mapping, and the writes that are on their way."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Final, Protocol

from machine.board import RAM_BASE
from machine.errors import MachineError

if TYPE_CHECKING:
    from devices.journal import Journal
    from devices.link import Link

LARGEST_READ: Final = 1 << 24
"""A device that asks for more in one piece is wrong."""


class MemoryGone(MachineError):
    """The process whose memory it was has died before it was mapped; its successor will say where it is now."""


class Memory(Protocol):
    """Guest memory as a device sees it, wherever the CPU node is."""

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory as it is after all writes so far; bytes outside of RAM read as zero."""

    def written(self, address: int, data: bytes) -> None:
        """A write has been sent to the CPU node."""

    def begin(self) -> None:
        """Another message is handled from here on."""

    def settled(self) -> None:
        """The guest has gone on: the CPU node applies everything before it does."""

    def inside(self, address: int, data: bytes) -> tuple[int, bytes]:
        """The part of a write that lies in RAM: first address and bytes, which may be none."""

    def moved(self, path: str) -> None:
        """Another process is the CPU; where its memory is found on its own host."""

    def close(self) -> None:
        """Let go of it."""


class GuestMemory:
    """RAM of `size` bytes from RAM_BASE on, found at `path`; mapped when it is first looked at."""

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self._map: mmap.mmap | None = None
        self._written: list[tuple[int, bytes]] = []
        """Writes since the guest stood still: the CPU node may not have applied them."""

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory as it is after all writes so far; bytes outside of RAM read as zero."""
        assert 0 <= size <= LARGEST_READ, f"a device reads {size} bytes in one piece"
        out = bytearray(size)
        self._copy(out, address)
        for at, data in self._written:
            start, end = max(at, address), min(at + len(data), address + size)
            if start < end:
                out[start - address : end - address] = data[start - at : end - at]
        return bytes(out)

    def written(self, address: int, data: bytes) -> None:
        """A write has been sent to the CPU node."""
        self._written.append((address, data))

    def begin(self) -> None:
        """The mapping always shows what is there."""

    def settled(self) -> None:
        """The guest has gone on: the CPU node applies everything before it does."""
        self._written.clear()

    def inside(self, address: int, data: bytes) -> tuple[int, bytes]:
        """The part of a write that lies in RAM: first address and bytes, which may be none."""
        return inside(self._size, address, data)

    def moved(self, path: str) -> None:
        """Guest memory is somewhere else from now on."""
        self.close()
        self._path = path

    def close(self) -> None:
        """Let go of the mapping."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def _copy(self, out: bytearray, address: int) -> None:
        start, end = max(address, RAM_BASE), min(address + len(out), RAM_BASE + self._size)
        if start < end:
            mapped = self._mapped()
            out[start - address : end - address] = mapped[start - RAM_BASE : end - RAM_BASE]

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            self._map = self._open()
        return self._map

    def _open(self) -> mmap.mmap:
        if not self._path:
            raise MachineError("guest memory cannot be read: the CPU node has not said where it is")
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return mmap.mmap(descriptor, self._size, mmap.MAP_SHARED, mmap.PROT_READ)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise MemoryGone(f"{self._path}: guest memory is not there any more: {error.strerror}") from error
        except (OSError, ValueError) as error:
            raise MachineError(f"{self._path}: cannot map {self._size} bytes of guest memory: {error}") from error


def inside(size: int, address: int, data: bytes) -> tuple[int, bytes]:
    """The part of a write that lies in a RAM of `size` bytes: first address and bytes, which may be none."""
    start = max(address, RAM_BASE)
    end = min(address + len(data), RAM_BASE + size)
    return start, data[start - address : max(start, end) - address]


class JournalledMemory:
    """What has been read is kept for a successor, which reads what its predecessor has read as that had read it."""

    def __init__(self, memory: Memory, journal: Journal, link: Link, name: str) -> None:
        self._memory = memory
        self._journal = journal
        self._link = link
        self._name = name
        self.written, self.begin, self.settled = memory.written, memory.begin, memory.settled
        self.inside, self.moved, self.close = memory.inside, memory.moved, memory.close

    def read(self, address: int, size: int) -> bytes:
        """As it was then, or as it is now."""
        again = self._journal.read_again(address, size, self._name, self._link.icount)
        if again is not None:
            return again
        data = self._read(address, size)
        self._journal.read_made(address, data)
        return data

    def _read(self, address: int, size: int) -> bytes:
        """What this message is about is in the memory of the CPU that is as far, whichever process that is."""
        while True:
            try:
                return self._memory.read(address, size)
            except MemoryGone:
                self._link.await_memory()
