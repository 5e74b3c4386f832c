"""Interrupter 0: writing events into the guest's ring, and when an interrupt tells of them (xHCI 4.9.4, 4.17)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from devices.usb import registers as r
from devices.usb.trb import CYCLE, POINTER_MASK, TRB_BYTES, Completion, TrbType, event

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.usb.state import XhciState

MODERATION: Final = 0
"""The timer of the moderation counter."""
SMALLEST_SEGMENT: Final = 16
LARGEST_SEGMENT: Final = 4096
_ENTRY: Final = struct.Struct("<QHHI")
_CONTROL: Final = 12
"""Where in a TRB its last word is."""


class Place(NamedTuple):
    """Where the producer stands; `size` 0 is nowhere."""

    segment: int
    base: int
    size: int
    number: int
    cycle: bool

    @property
    def address(self) -> int:
        """Of the TRB."""
        return self.base + TRB_BYTES * self.number


class Interrupter:
    """Interrupter 0 for the length of one message."""

    __slots__ = ("_context", "_machine", "_state")

    def __init__(self, state: XhciState, context: DeviceContext) -> None:
        self._machine = state
        self._state = state.interrupter
        self._context = context

    @property
    def stalled(self) -> bool:
        """The ring is full: nothing that would make events may go on."""
        return bool(self._state.held)

    def read(self, offset: int) -> int:
        """A 32-bit register."""
        s = self._state
        match offset:
            case r.INTERRUPT_MANAGEMENT:
                return s.management
            case r.INTERRUPT_MODERATION:
                return s.moderation
            case r.EVENT_TABLE_SIZE:
                return s.table_size
            case r.EVENT_TABLE:
                return s.table & 0xFFFF_FFFF
            case r.EVENT_TABLE_HIGH:
                return s.table >> 32
            case r.EVENT_DEQUEUE:
                return s.dequeue & 0xFFFF_FFFF
            case r.EVENT_DEQUEUE_HIGH:
                return s.dequeue >> 32
            case _:
                return 0

    def write(self, offset: int, value: int) -> None:
        """A store to a 32-bit register."""
        s = self._state
        match offset:
            case r.INTERRUPT_MANAGEMENT:
                self._manage(value)
            case r.INTERRUPT_MODERATION:
                s.moderation = value
            case r.EVENT_TABLE_SIZE:
                s.table_size = value & 0xFFFF
            case r.EVENT_TABLE:
                s.table = s.table & ~0xFFFF_FFFF | value & ~0x3F
            case r.EVENT_TABLE_HIGH:
                s.table = s.table & 0xFFFF_FFFF | value << 32
            case r.EVENT_DEQUEUE:
                self._free(value)
            case r.EVENT_DEQUEUE_HIGH:
                s.dequeue = s.dequeue & 0xFFFF_FFFF | value << 32
                self._freed()
            case _:
                pass
        if offset in (r.EVENT_TABLE, r.EVENT_TABLE_HIGH):
            self._begin()

    def put(self, trb: bytes, quiet: bool = False) -> None:
        """Write an event; `quiet` ones raise no interrupt.  What finds the ring full is held until there is room."""
        s = self._state
        if s.held or not self._write(trb):
            s.held += trb
        elif not quiet:
            s.unsaid = True
            self._raise()

    def elapsed(self) -> None:
        """The moderation counter has come to 0."""
        if self._state.moderating:
            self._state.moderating = False
            self._raise()

    def line(self) -> bool:
        """The level of the interrupt line."""
        both = r.INTERRUPT_PENDING | r.INTERRUPT_ENABLED
        return self._state.management & both == both and bool(self._machine.command & r.CMD_INTERRUPTS)

    def fail(self) -> None:
        """Host Controller Error: the controller stands still until it is reset."""
        self._machine.status |= r.STS_CONTROLLER_ERROR | r.STS_HALTED
        self._machine.ring_running = False

    def _manage(self, value: int) -> None:
        s = self._state
        pending = s.management & r.INTERRUPT_PENDING
        if value & pending:
            pending = 0
            interval_ns = (s.moderation & 0xFFFF) * r.MODERATION_UNIT_NS
            if interval_ns:
                s.moderating = True
                self._context.arm_timer(MODERATION, interval_ns)
        s.management = pending | value & r.INTERRUPT_ENABLED
        self._raise()

    def _free(self, value: int) -> None:
        """ERDP's lower half; storing its EHB clears that."""
        s = self._state
        busy = s.dequeue & ~value & r.HANDLER_BUSY
        s.dequeue = s.dequeue & ~0xFFFF_FFFF | value & ~r.HANDLER_BUSY | busy
        self._freed()

    def _freed(self) -> None:
        """The guest has taken events: what was held may go, and an empty ring has nothing to tell of."""
        s = self._state
        while s.held and self._write(s.held[:TRB_BYTES]):
            s.held = s.held[TRB_BYTES:]
            s.unsaid = True
        if self._place().address == s.dequeue & POINTER_MASK:
            s.unsaid = False
        self._raise()

    def _raise(self) -> None:
        """Set IP when an event waits to be told of, the counter stands at 0 and the guest is not busy with the ring."""
        s = self._state
        if s.unsaid and not s.moderating and not s.dequeue & r.HANDLER_BUSY:
            s.management |= r.INTERRUPT_PENDING
            s.dequeue |= r.HANDLER_BUSY
            self._machine.status |= r.STS_EVENT

    def _begin(self) -> None:
        """ERSTBA has been stored: the ring begins with the table's first segment."""
        s = self._state
        place = self._enter(0, cycle=True) if s.table_size and s.table else Place(0, 0, 0, 0, True)
        self._move(place)

    def _write(self, trb: bytes) -> bool:
        """Write one event; False when the ring is full.  The last free place is kept for the event that says so.

        Without a ring the controller fails, and the event is nobody's.
        """
        s = self._state
        here = self._place()
        if not here.size:
            self.fail()
            return True
        there = self._next(here)
        if not there.size:
            self.fail()
            return True
        end = s.dequeue & POINTER_MASK
        if there.address == end:
            return False
        if self._next(there).address == end:
            if not s.held:
                self._store(here, event(TrbType.HOST_CONTROLLER, 0, Completion.EVENT_RING_FULL))
                self._move(there)
            return False
        self._store(here, trb)
        self._move(there)
        return True

    def _store(self, place: Place, trb: bytes) -> None:
        control = int.from_bytes(trb[_CONTROL:], "little") | (CYCLE if place.cycle else 0)
        self._context.dma_write(place.address, trb[:_CONTROL] + control.to_bytes(4, "little"))

    def _next(self, place: Place) -> Place:
        """The place behind; a size of 0 when the guest's table says nothing sensible."""
        if place.number + 1 < place.size:
            return place._replace(number=place.number + 1)
        segment = (place.segment + 1) % max(1, self._state.table_size)
        return self._enter(segment, place.cycle ^ (segment == 0))

    def _enter(self, segment: int, cycle: bool) -> Place:
        at = self._state.table + _ENTRY.size * segment
        base, size, _, _ = _ENTRY.unpack(self._context.dma_read(at, _ENTRY.size))
        if not SMALLEST_SEGMENT <= size <= LARGEST_SEGMENT:
            size = 0
        return Place(segment, base & ~0x3F, size, 0, cycle)

    def _place(self) -> Place:
        s = self._state
        return Place(s.segment, s.base, s.size, s.index, s.cycle)

    def _move(self, place: Place) -> None:
        s = self._state
        s.segment, s.base, s.size, s.index, s.cycle = place
