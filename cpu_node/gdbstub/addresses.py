"""Addresses as gdb means them: of the program, through the guest's page tables, or of physical memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.board import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cpu_node.gdbstub.target import Target


class Addresses:
    """Looked up where the machine stands."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.physical = False
        """gdb's addresses are physical."""

    def stretches(self, address: int, size: int) -> tuple[tuple[int, int], ...]:
        """The same, with pages that lie side by side in one."""
        found: list[tuple[int, int]] = []
        for start, piece in self.pieces(address, size):
            if found and sum(found[-1]) == start:
                found[-1] = (found[-1][0], found[-1][1] + piece)
            else:
                found.append((start, piece))
        return tuple(found)

    def pieces(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        """A range as physical (address, size), page by page, up to the first page that is not there."""
        if self.physical:
            yield address, size
            return
        values = self._target.raw_registers()
        translate = self._target.arch.inspect.physical
        while size:
            piece = min(size, PAGE_BYTES - address % PAGE_BYTES)
            found = translate(values, address, self._padded)
            if found is None:
                return
            yield found, piece
            address += piece
            size -= piece

    def read(self, address: int, size: int) -> bytes:
        """Bytes up to the first one that cannot be read."""
        data = b""
        for start, piece in self.pieces(address, size):
            part = self._target.read_physical(start, piece)
            data += part
            if len(part) < piece:
                break
        return data

    def write(self, address: int, data: bytes) -> bool:
        """Change memory; False, and nothing is changed, if not all of it is there."""
        pieces = list(self.pieces(address, len(data)))
        if sum(size for _, size in pieces) < len(data):
            return False
        if any(len(self._target.read_physical(start, size)) < size for start, size in pieces):
            return False
        for start, size in pieces:
            self._target.write_physical(start, data[:size])
            data = data[size:]
        return True

    def _padded(self, address: int, size: int) -> bytes:
        data = self._target.read_physical(address, size)
        return data + bytes(size - len(data))
