"""The driver's buffers: reading chains, and stores into them with neighbours joined to one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devices.model import DeviceContext
    from devices.virtio.ring import Segment

JOIN_GAP: Final = 256
"""Bytes at the end of a buffer, not written, that are stored as they were so that two stores become one."""


def total(segments: Iterable[Segment]) -> int:
    """Bytes in all."""
    return sum(size for _, size in segments)


def read_segments(context: DeviceContext, segments: Iterable[Segment], limit: int) -> bytes:
    """The first `limit` bytes of a chain's readable part, fewer if it is shorter."""
    pieces = []
    for address, size in segments:
        if limit <= 0:
            break
        pieces.append(context.dma_read(address, min(size, limit)))
        limit -= size
    return b"".join(pieces)


class BufferWriter:
    """Gathers stores into the driver's buffers, in order; flush() says them in as few messages as it can."""

    def __init__(self, context: DeviceContext) -> None:
        self._context = context
        self._start = 0
        self._data = bytearray()
        self._end = -1
        """End of the buffer that was written last: up to there memory is ours."""

    def fill(self, segments: Iterable[Segment], data: bytes) -> int:
        """Fill buffers from the first on; how many bytes found room."""
        done = 0
        for address, size in segments:
            if done == len(data):
                break
            piece = data[done : done + size]
            if piece:
                self._add(address, size, piece)
                done += len(piece)
        return done

    def flush(self) -> None:
        """Store what has been gathered."""
        if self._data:
            self._context.dma_write(self._start, bytes(self._data))
            self._data.clear()
        self._end = -1

    def _add(self, address: int, size: int, piece: bytes) -> None:
        written = self._start + len(self._data)
        if self._data and address == self._end and address - written <= JOIN_GAP:
            self._data += self._context.dma_read(written, address - written)
        elif not self._data or address != written:
            self.flush()
            self._start = address
        self._data += piece
        self._end = address + size
