"""Transfer request blocks: fields and codes, and finding the next transfer descriptor on a ring (xHCI 6.4, 4.9)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from devices.model import DeviceContext

TRB_BYTES: Final = 16
POINTER_MASK: Final = ~0xF & (1 << 64) - 1
MOST_TRBS: Final = 2048
"""Of one TD, links included; a guest that chains more has made a mistake."""
MOST_LINKS: Final = 32
"""In a row.  More is a ring without a TRB."""
_FIELDS: Final = struct.Struct("<QII")

CYCLE: Final = 1 << 0
TOGGLE_CYCLE: Final = 1 << 1
SHORT_PACKET_INTERRUPT: Final = 1 << 2
EVENT_DATA: Final = 1 << 2
"""In an event: its pointer is an Event Data TRB's parameter."""
CHAIN: Final = 1 << 4
INTERRUPT_ON_COMPLETION: Final = 1 << 5
IMMEDIATE_DATA: Final = 1 << 6
BLOCK_INTERRUPT: Final = 1 << 9
BLOCK_SET_ADDRESS: Final = 1 << 9
DECONFIGURE: Final = 1 << 9
DIRECTION_IN: Final = 1 << 16
LENGTH_MASK: Final = 0x1FFFF
IMMEDIATE_BYTES: Final = 8


class TrbType(IntEnum):
    """Table 6-91."""

    NORMAL = 1
    SETUP = 2
    DATA = 3
    STATUS = 4
    ISOCH = 5
    LINK = 6
    EVENT_DATA = 7
    NO_OP = 8
    ENABLE_SLOT = 9
    DISABLE_SLOT = 10
    ADDRESS_DEVICE = 11
    CONFIGURE_ENDPOINT = 12
    EVALUATE_CONTEXT = 13
    RESET_ENDPOINT = 14
    STOP_ENDPOINT = 15
    SET_DEQUEUE = 16
    RESET_DEVICE = 17
    NO_OP_COMMAND = 23
    TRANSFER_EVENT = 32
    COMMAND_COMPLETION = 33
    PORT_STATUS_CHANGE = 34
    HOST_CONTROLLER = 37
    FRAME_INDEX_WRAP = 39


class Completion(IntEnum):
    """Table 6-90."""

    SUCCESS = 1
    BABBLE = 3
    TRANSACTION_ERROR = 4
    TRB_ERROR = 5
    STALL = 6
    RESOURCE_ERROR = 7
    BANDWIDTH_ERROR = 8
    NO_SLOTS = 9
    SLOT_NOT_ENABLED = 11
    ENDPOINT_NOT_ENABLED = 12
    SHORT_PACKET = 13
    PARAMETER_ERROR = 17
    CONTEXT_STATE_ERROR = 19
    EVENT_RING_FULL = 21
    COMMAND_RING_STOPPED = 24
    STOPPED = 26


class Trb(NamedTuple):
    """One block and where it lies."""

    address: int
    parameter: int
    status: int
    control: int

    @property
    def type(self) -> int:
        """A TrbType, if it is known."""
        return self.control >> 10 & 0x3F

    @property
    def length(self) -> int:
        """TRB Transfer Length, bytes."""
        return self.status & LENGTH_MASK

    @property
    def slot(self) -> int:
        """The slot a command is for."""
        return self.control >> 24

    @property
    def endpoint(self) -> int:
        """The endpoint a command is for."""
        return self.control >> 16 & 0x1F


class Td(NamedTuple):
    """A transfer descriptor: blocks chained to one transfer, and where the next one begins.

    One that is `broken` goes on for ever; its blocks are the first of it.
    """

    trbs: tuple[Trb, ...]
    dequeue: int
    cycle: bool
    broken: bool = False


class Found(NamedTuple):
    """What a look at a ring has found, None if it is empty or the TD not whole, and how many blocks it took."""

    td: Td | None
    steps: int


def fetch(context: DeviceContext, address: int) -> Trb:
    """The block at a guest address; zeros outside of memory."""
    return Trb(address, *_FIELDS.unpack(context.dma_read(address, TRB_BYTES)))


def find_td(context: DeviceContext, dequeue: int, cycle: bool) -> Found:
    """The TD at a transfer ring's dequeue pointer."""
    trbs: list[Trb] = []
    steps = links = 0
    while True:
        trb = fetch(context, dequeue)
        steps += 1
        if bool(trb.control & CYCLE) != cycle:
            return Found(None, steps)
        if links > MOST_LINKS or steps > MOST_TRBS:
            return Found(Td((*trbs, trb), dequeue, cycle, broken=True), steps)
        if trb.type == TrbType.LINK:
            links += 1
            dequeue = trb.parameter & POINTER_MASK
            cycle ^= bool(trb.control & TOGGLE_CYCLE)
            continue
        links = 0
        trbs.append(trb)
        dequeue = dequeue + TRB_BYTES & (1 << 64) - 1
        if not trb.control & CHAIN:
            return Found(Td(tuple(trbs), dequeue, cycle), steps)


def event(kind: TrbType, parameter: int, completion: Completion, length: int = 0, control: int = 0) -> bytes:
    """An event TRB, its cycle bit clear; `length` is the lower part of its third word."""
    status = length & 0xFFFFFF | completion << 24
    return _FIELDS.pack(parameter & (1 << 64) - 1, status, control | kind << 10)


def find_command(context: DeviceContext, dequeue: int, cycle: bool) -> Td | None:
    """The command at the command ring's dequeue pointer as a TD of one block; None if there is none."""
    links = 0
    while True:
        trb = fetch(context, dequeue)
        if bool(trb.control & CYCLE) != cycle:
            return None
        if trb.type != TrbType.LINK:
            return Td((trb,), dequeue + TRB_BYTES & (1 << 64) - 1, cycle)
        dequeue = trb.parameter & POINTER_MASK
        cycle ^= bool(trb.control & TOGGLE_CYCLE)
        links += 1
        if links > MOST_LINKS:
            return Td((trb,), dequeue, cycle, broken=True)
