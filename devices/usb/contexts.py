"""Slot, endpoint and input contexts of 32 bytes in guest memory (xHCI 6.2)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from devices.usb.trb import CYCLE, POINTER_MASK

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.usb.state import EndpointState, SlotState
    from devices.usb.trb import Trb

CONTEXT_BYTES: Final = 32
HIGHEST_ENDPOINT: Final = 31
_SLOT: Final = struct.Struct("<IIII")
_ENDPOINT: Final = struct.Struct("<IIQI")
_INPUT: Final = struct.Struct("<II")


class SlotPhase(IntEnum):
    """Slot State (table 6-7)."""

    DISABLED = 0
    DEFAULT = 1
    ADDRESSED = 2
    CONFIGURED = 3


class EndpointPhase(IntEnum):
    """EP State (table 6-8)."""

    DISABLED = 0
    RUNNING = 1
    HALTED = 2
    STOPPED = 3
    ERROR = 4


class EndpointKind(IntEnum):
    """EP Type (table 6-9)."""

    INVALID = 0
    ISOCH_OUT = 1
    BULK_OUT = 2
    INTERRUPT_OUT = 3
    CONTROL = 4
    ISOCH_IN = 5
    BULK_IN = 6
    INTERRUPT_IN = 7


class SlotContext(NamedTuple):
    """What is read of a slot context."""

    route: int
    speed: int
    is_hub: bool
    entries: int
    port: int

    @property
    def valid(self) -> bool:
        """It describes a device that is plugged straight into a root hub port."""
        return not self.route and not self.is_hub and 1 <= self.entries <= HIGHEST_ENDPOINT


class EndpointContext(NamedTuple):
    """What is read of an endpoint context."""

    streams: int
    kind: EndpointKind
    max_packet: int
    dequeue: int
    cycle: bool

    def valid(self, number: int) -> bool:
        """It fits its number, and is without the streams that this controller has not."""
        if self.streams or not self.max_packet or self.kind is EndpointKind.INVALID:
            return False
        if self.kind is EndpointKind.CONTROL:
            return number == 1
        return number > 1 and bool(number & 1) == (self.kind > EndpointKind.CONTROL)


class InputContext:
    """An input context: which contexts to add and to drop, and the contexts (6.2.5)."""

    def __init__(self, context: DeviceContext, address: int) -> None:
        self._context = context
        self._address = address
        self.drop, self.add = _INPUT.unpack(context.dma_read(address, _INPUT.size))

    def slot(self) -> SlotContext:
        """The slot context."""
        first, second, _, _ = _SLOT.unpack(self._context.dma_read(self._address + CONTEXT_BYTES, _SLOT.size))
        return SlotContext(first & 0xFFFFF, first >> 20 & 0xF, bool(first >> 26 & 1), first >> 27, second >> 16 & 0xFF)

    def slot_words(self) -> bytes:
        """The first three words of the slot context, for the output context."""
        return self._context.dma_read(self._address + CONTEXT_BYTES, 12)

    def endpoint(self, number: int) -> EndpointContext:
        """The context of an endpoint."""
        first, second, pointer, _ = _ENDPOINT.unpack(self.endpoint_bytes(number)[: _ENDPOINT.size])
        kind = EndpointKind(second >> 3 & 7)
        return EndpointContext(first >> 10 & 0x1F, kind, second >> 16, pointer & POINTER_MASK, bool(pointer & 1))

    def endpoint_bytes(self, number: int) -> bytes:
        """The whole context of an endpoint."""
        return self._context.dma_read(self._address + CONTEXT_BYTES * (number + 1), CONTEXT_BYTES)


def write_slot(context: DeviceContext, slot: SlotState, address: int, words: bytes = b"") -> None:
    """Write the output slot context: its last word always, the first three when they are given."""
    if words:
        context.dma_write(slot.context, words)
    context.dma_write(slot.context + 12, struct.pack("<I", address & 0xFF | slot.phase << 27))


def write_entries(context: DeviceContext, slot: SlotState) -> None:
    """Write Context Entries: the number of the last endpoint."""
    last = slot.endpoints[-1].number if slot.endpoints else 1
    (first,) = struct.unpack("<I", context.dma_read(slot.context, 4))
    context.dma_write(slot.context, struct.pack("<I", first & 0x07FF_FFFF | last << 27))


def write_endpoint(context: DeviceContext, slot: SlotState, endpoint: EndpointState, trb: Trb | None = None) -> None:
    """Write an output endpoint context's state and dequeue pointer: `trb` if that is not the TD's first block."""
    at = slot.context + CONTEXT_BYTES * endpoint.number
    (first,) = struct.unpack("<I", context.dma_read(at, 4))
    context.dma_write(at, struct.pack("<I", first & ~7 | endpoint.phase))
    pointer = endpoint.dequeue | endpoint.cycle if trb is None else trb.address | trb.control & CYCLE
    context.dma_write(at + 8, struct.pack("<Q", pointer & (1 << 64) - 1))


def copy_endpoint(context: DeviceContext, slot: SlotState, endpoint: EndpointState, data: bytes) -> None:
    """Write a whole output endpoint context from the input context's bytes."""
    context.dma_write(slot.context + CONTEXT_BYTES * endpoint.number, data)
    write_endpoint(context, slot, endpoint)


def disable_endpoint(context: DeviceContext, slot: SlotState, number: int) -> None:
    """Write Disabled into an output endpoint context."""
    at = slot.context + CONTEXT_BYTES * number
    (first,) = struct.unpack("<I", context.dma_read(at, 4))
    context.dma_write(at, struct.pack("<I", first & ~7))


def write_evaluated_slot(context: DeviceContext, slot: SlotState, source: bytes) -> None:
    """Take over what Evaluate Context may change of a slot: Max Exit Latency and Interrupter Target (6.2.2.3)."""
    _, new_second, new_third = struct.unpack("<III", source)
    second, third = struct.unpack("<II", context.dma_read(slot.context + 4, 8))
    second = second & ~0xFFFF | new_second & 0xFFFF
    third = third & 0x003F_FFFF | new_third & ~0x003F_FFFF
    context.dma_write(slot.context + 4, struct.pack("<II", second, third))


def write_packet_size(context: DeviceContext, slot: SlotState, endpoint: EndpointState) -> None:
    """Write Max Packet Size into an output endpoint context."""
    at = slot.context + CONTEXT_BYTES * endpoint.number + 6
    context.dma_write(at, struct.pack("<H", endpoint.max_packet))
