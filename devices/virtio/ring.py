"""One split virtqueue for the length of one message (VIRTIO 1.2, 2.7): chains taken, buffers given back.

Lives here: the three rings in guest memory, and what a driver may not do with them.
Never here: what is in a buffer.

The guest stands still while a message is handled, so each ring is read once and in one piece, and what is given
back is written once, at the end.  Memory that is not there reads as zero and takes no store, as on any bus.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from devices.virtio import registers as r

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.virtio.state import QueueState

JOIN_BYTES: Final = 1024
"""A used ring whose changes lie this close together is written in one piece: a message costs more than its bytes."""
_DESCRIPTOR: Final = struct.Struct("<QIHH")
_ELEMENT: Final = struct.Struct("<II")
_INDEX: Final = 0xFFFF
_RING: Final = 4
"""Bytes in front of the entries of both rings: flags, index."""
_ADDRESSES: Final = 1 << 64

Segment = tuple[int, int]
"""Guest physical address and bytes."""


class DriverFault(Exception):
    """The driver has broken a rule of the standard that the device cannot work around."""


class Chain(NamedTuple):
    """One buffer of the driver's: what the device reads, then what it writes."""

    head: int
    readable: tuple[Segment, ...]
    writable: tuple[Segment, ...]


class Ring:
    """A live queue; DriverFault wherever the driver has broken the rules."""

    def __init__(self, queue: QueueState, context: DeviceContext, *, indirect: bool, event_idx: bool) -> None:
        self._queue = queue
        self._context = context
        self._indirect = indirect
        self._event_idx = event_idx
        avail = context.dma_read(queue.driver, _RING + 2 * queue.size + 2)
        words: tuple[int, ...] = struct.unpack(f"<{len(avail) // 2}H", avail)
        self._flags, self._index, self._heads, self._used_event = words[0], words[1], words[2:-1], words[-1]
        self._table = b""
        self._first = queue.used
        self._elements: list[bytes] = []
        if len(self) > queue.size:
            raise DriverFault(f"{len(self)} buffers are available in a queue of {queue.size}")

    def __len__(self) -> int:
        """Chains that wait to be taken."""
        return (self._index - self._queue.seen) & _INDEX

    def take(self) -> Chain | None:
        """The next chain, None if there is none."""
        queue = self._queue
        if self._index == queue.seen:
            return None
        chain = self._walk(self._heads[queue.seen % queue.size])
        queue.seen = (queue.seen + 1) & _INDEX
        return chain

    def untake(self, count: int) -> None:
        """Leave the last `count` chains where they were."""
        self._queue.seen = (self._queue.seen - count) & _INDEX

    def give_back(self, chain: Chain, written: int = 0) -> None:
        """Return a chain; `written` is how many bytes of its writable part have been filled, from the first on."""
        self._elements.append(_ELEMENT.pack(chain.head, written))
        self._queue.used = (self._queue.used + 1) & _INDEX

    def finish(self, *, wants_notice: bool) -> bool:
        """Publish what was given back; whether the driver wants an interrupt for it.

        `wants_notice`: the driver shall notify of the next buffer (where it is told at all: EVENT_IDX).
        """
        queue = self._queue
        pieces = self._used_pieces()
        if self._event_idx and wants_notice and queue.event != queue.seen:
            queue.event = queue.seen
            pieces.append((_RING + queue.size * _ELEMENT.size, queue.seen.to_bytes(2, "little")))
        self._write_used(pieces)
        return self._interrupts()

    def _used_pieces(self) -> list[tuple[int, bytes]]:
        """(offset in the used ring, bytes): entries, in two pieces where they go round, then the index."""
        if not self._elements:
            return []
        queue = self._queue
        slot = self._first % queue.size
        until_end = queue.size - slot
        pieces = [(_RING + slot * _ELEMENT.size, b"".join(self._elements[:until_end]))]
        if len(self._elements) > until_end:
            pieces.append((_RING, b"".join(self._elements[until_end:])))
        return [*pieces, (2, queue.used.to_bytes(2, "little"))]

    def _write_used(self, pieces: list[tuple[int, bytes]]) -> None:
        """The whole used ring is the device's, so what lies between two changes may be written again."""
        if not pieces:
            return
        base = self._queue.device
        first = min(offset for offset, _ in pieces)
        size = max(offset + len(data) for offset, data in pieces) - first
        if size > JOIN_BYTES:
            for offset, data in pieces:
                self._context.dma_write(base + offset, data)
            return
        joined = bytearray(self._context.dma_read(base + first, size))
        for offset, data in pieces:
            joined[offset - first : offset - first + len(data)] = data
        self._context.dma_write(base + first, bytes(joined))

    def _interrupts(self) -> bool:
        """Whether the driver asked for an interrupt between the old and the new index (2.7.7.1, 2.7.10)."""
        if not self._elements:
            return False
        if not self._event_idx:
            return not self._flags & r.AVAIL_NO_INTERRUPT
        return (self._queue.used - self._used_event - 1) & _INDEX < len(self._elements)

    def _walk(self, head: int) -> Chain:
        """The chain that begins at a descriptor, indirect ones followed (2.7.5)."""
        size = self._queue.size
        if not self._table:
            self._table = self._context.dma_read(self._queue.desc, size * r.DESC_BYTES)
        table, base, count, index = self._table, self._queue.desc, size, head
        readable: list[Segment] = []
        writable: list[Segment] = []
        indirect = False
        for _ in range(size + 1):
            address, length, flags, following = self._descriptor(table, base, count, index)
            if flags & r.DESC_INDIRECT:
                if indirect or flags & r.DESC_NEXT or not self._indirect:
                    raise DriverFault(f"descriptor {index} may not be indirect")
                table, base, count, index = *self._open_table(address, length), 0
                indirect = True
                continue
            if flags & r.DESC_WRITE:
                writable.append((address, length))
            elif writable:
                raise DriverFault(f"descriptor {index} is to be read, behind one that is to be written")
            else:
                readable.append((address, length))
            if not flags & r.DESC_NEXT:
                return Chain(head, tuple(readable), tuple(writable))
            index = following
        raise DriverFault(f"the chain at descriptor {head} is longer than its queue of {size}")

    def _descriptor(self, table: bytes, base: int, count: int, index: int) -> tuple[int, int, int, int]:
        if index >= count:
            raise DriverFault(f"descriptor {index} is beyond a table of {count}")
        at = index * r.DESC_BYTES
        # What an indirect table holds beyond the longest chain is hardly ever used, and read when it is.
        row = table[at : at + r.DESC_BYTES] or self._context.dma_read(base + at, r.DESC_BYTES)
        address, length, flags, following = _DESCRIPTOR.unpack(row)
        if address + length > _ADDRESSES:
            raise DriverFault(f"descriptor {index} ends behind the last address")
        return address, length, flags, following

    def _open_table(self, address: int, length: int) -> tuple[bytes, int, int]:
        """An indirect table: its first descriptors, its address, how many it holds."""
        if not length or length % r.DESC_BYTES:
            raise DriverFault(f"an indirect table of {length} bytes")
        held = min(length, self._queue.size * r.DESC_BYTES)
        return self._context.dma_read(address, held), address, length // r.DESC_BYTES
