"""The memory behind a transfer descriptor: how much it is, reading it, writing it (xHCI 4.11.2, 6.4.1)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from devices.usb.trb import IMMEDIATE_BYTES, IMMEDIATE_DATA, Trb, TrbType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devices.model import DeviceContext
    from devices.usb.trb import Td

WITH_BUFFER: Final = (TrbType.NORMAL, TrbType.DATA)


def size_of(trb: Trb) -> int:
    """Bytes of a block's buffer; a setup block has none."""
    return trb.length if trb.type in WITH_BUFFER else 0


def total(td: Td) -> int:
    """Bytes of the whole transfer."""
    return sum(size_of(trb) for trb in td.trbs)


def gather(context: DeviceContext, td: Td, start: int, limit: int) -> bytes:
    """The guest's bytes from `start` on, at most `limit`."""
    out = bytearray()
    for trb, first, size in _parts(td, start, limit):
        if trb.control & IMMEDIATE_DATA:
            out += struct.pack("<Q", trb.parameter)[first : first + size].ljust(size, b"\0")
        else:
            out += context.dma_read(trb.parameter + first & (1 << 64) - 1, size)
    return bytes(out)


def scatter(context: DeviceContext, td: Td, start: int, data: bytes) -> None:
    """Store bytes into the transfer's buffers from `start` on; a block with immediate data has none."""
    done = 0
    for trb, first, size in _parts(td, start, len(data)):
        if not trb.control & IMMEDIATE_DATA:
            context.dma_write(trb.parameter + first & (1 << 64) - 1, data[done : done + size])
        done += size


def fits(td: Td) -> bool:
    """Whether no block claims more immediate data than it holds."""
    return all(trb.length <= IMMEDIATE_BYTES for trb in td.trbs if trb.control & IMMEDIATE_DATA)


def _parts(td: Td, start: int, limit: int) -> Iterator[tuple[Trb, int, int]]:
    """Each block with a part of the range: the block, the part's first byte in its buffer, its bytes."""
    at, end = 0, start + limit
    for trb in td.trbs:
        size = size_of(trb)
        first, last = max(start - at, 0), min(end - at, size)
        if first < last:
            yield trb, first, last - first
        at += size
        if at >= end:
            return
