"""The driver's side of the xHCI, small and in the open: rings and contexts in a fake guest's memory.

Lives here: bringing the controller up, commands, addressing, control and bulk transfers, the event ring.
Never here: what a device should answer; the tests say that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from devices.usb import registers as r
from devices.usb.contexts import EndpointKind
from devices.usb.messages import PortData, What, encode_data, encode_plugged, encode_unplugged
from devices.usb.model import Xhci
from devices.usb.trb import (
    CHAIN,
    CYCLE,
    DIRECTION_IN,
    IMMEDIATE_DATA,
    INTERRUPT_ON_COMPLETION,
    SHORT_PACKET_INTERRUPT,
    TOGGLE_CYCLE,
    Completion,
    TrbType,
)
from machine.message import BackendResult, HostEvent
from tests.harness.fake_context import DirectCpu, FakeContext

if TYPE_CHECKING:
    from devices.usb.messages import Plugged

MEMORY_BYTES: Final = 1 << 20
RING_TRBS: Final = 64
EVENT_TRBS: Final = 32
CONTEXT_ARRAY: Final = 0x1000
COMMAND_RING: Final = 0x2000
EVENT_TABLE: Final = 0x3000
EVENT_RING: Final = 0x4000
INPUT: Final = 0x5000
FIRST_FREE: Final = 0x8000
DEFAULT_PACKET: Final = 64


class Event(NamedTuple):
    """An event from the ring."""

    type: TrbType
    pointer: int
    code: Completion
    length: int
    slot: int
    endpoint: int
    flags: int


@dataclass(slots=True)
class UsbContext(FakeContext):
    """A context with a megabyte of memory, whole outputs and armed timers."""

    memory: bytearray = field(default_factory=lambda: bytearray(MEMORY_BYTES))
    outputs: list[bytes] = field(default_factory=list)
    """What the backend was given, one for each output(), as far as it took it."""
    timers: dict[int, int] = field(default_factory=dict)
    """Armed timers and their delays."""

    def output(self, data: bytes) -> BackendResult:
        """Remember the message."""
        result = FakeContext.output(self, data)
        if result.accepted:
            self.outputs.append(data[: result.accepted])
        return result

    def arm_timer(self, timer: int, delay_ns: int) -> None:
        """Remember."""
        FakeContext.arm_timer(self, timer, delay_ns)
        self.timers[timer] = delay_ns

    def cancel_timer(self, timer: int) -> None:
        """Forget."""
        FakeContext.cancel_timer(self, timer)
        self.timers.pop(timer, None)


class Ring:
    """A producer's ring of one segment that links to its own start."""

    def __init__(self, memory: bytearray, base: int, size: int = RING_TRBS) -> None:
        self._memory = memory
        self.base = base
        self.size = size
        self.index = 0
        self.cycle = 1

    def put(self, parameter: int, status: int, control: int) -> int:
        """Append a block; its address."""
        if self.index == self.size - 1:
            link = TrbType.LINK << 10 | TOGGLE_CYCLE | self.cycle | control & CHAIN
            self._store(self.base, 0, link)
            self.index, self.cycle = 0, self.cycle ^ 1
        address = self.base + 16 * self.index
        self._store(parameter, status, control & ~CYCLE | self.cycle)
        self.index += 1
        return address

    @property
    def pointer(self) -> int:
        """Where the next block goes, with its cycle bit, as contexts and commands want it."""
        return self.base + 16 * self.index | self.cycle

    def _store(self, parameter: int, status: int, control: int) -> None:
        at = self.base + 16 * self.index
        self._memory[at : at + 16] = struct.pack("<QII", parameter, status, control)


class Driver:
    """One controller brought up, with the guest's memory."""

    def __init__(self, kind: type[DirectCpu] = DirectCpu, *, start: bool = True) -> None:
        self.context = UsbContext()
        self.model = Xhci()
        self.cpu = kind(self.model, self.context)
        self.memory = self.context.memory
        self.commands = Ring(self.memory, COMMAND_RING)
        self.rings: dict[tuple[int, int], Ring] = {}
        self.log: list[Event] = []
        """Every event so far."""
        self._free = FIRST_FREE
        self._event_index = 0
        self._event_cycle = 1
        self.cpu.reset()
        if start:
            self.start()

    # Registers.

    def load(self, offset: int) -> int:
        """A 32-bit register."""
        return self.cpu.load(offset, 4)

    def store(self, offset: int, value: int) -> None:
        """A 32-bit register."""
        self.cpu.store(offset, value, 4)

    def store_wide(self, offset: int, value: int) -> None:
        """A 64-bit register, its lower half first."""
        self.store(offset, value & 0xFFFF_FFFF)
        self.store(offset + 4, value >> 32)

    def start(self, slots: int = r.MAX_SLOTS) -> None:
        """Initialise and run the controller (4.2)."""
        self.store(r.CONFIGURE, slots)
        self.store_wide(r.CONTEXT_ARRAY, CONTEXT_ARRAY)
        self.store_wide(r.COMMAND_RING, self.commands.pointer)
        self.memory[EVENT_TABLE : EVENT_TABLE + 16] = struct.pack("<QII", EVENT_RING, EVENT_TRBS, 0)
        self.store(r.EVENT_TABLE_SIZE, 1)
        self.store_wide(r.EVENT_TABLE, EVENT_TABLE)
        self.store_wide(r.EVENT_DEQUEUE, EVENT_RING)
        self.store(r.INTERRUPT_MANAGEMENT, r.INTERRUPT_ENABLED)
        self.store(r.USB_COMMAND, r.CMD_RUN | r.CMD_INTERRUPTS)

    def allocate(self, size: int) -> int:
        """Memory for a buffer or a ring, 64-byte aligned, zeros."""
        address = self._free
        self._free += -(-size // 64) * 64
        assert self._free <= MEMORY_BYTES, "the fake guest is out of memory"
        return address

    # Events.

    def events(self) -> list[Event]:
        """Take every event, as an interrupt handler does."""
        self.cpu.flush()
        found = self.peek()
        if self.cpu.line():
            self.store(r.USB_STATUS, r.STS_EVENT)
            self.store(r.INTERRUPT_MANAGEMENT, r.INTERRUPT_PENDING | r.INTERRUPT_ENABLED)
        self.store_wide(r.EVENT_DEQUEUE, EVENT_RING + 16 * self._event_index | r.HANDLER_BUSY)
        self.log += found
        return found

    def peek(self) -> list[Event]:
        """Take events without telling the controller."""
        found: list[Event] = []
        while True:
            at = EVENT_RING + 16 * self._event_index
            pointer, status, control = struct.unpack("<QII", self.memory[at : at + 16])
            if control & CYCLE != self._event_cycle:
                return found
            code, kind = Completion(status >> 24), TrbType(control >> 10 & 0x3F)
            found.append(Event(kind, pointer, code, status & 0xFFFFFF, control >> 24, control >> 16 & 0x1F, control))
            self._event_index += 1
            if self._event_index == EVENT_TRBS:
                self._event_index, self._event_cycle = 0, self._event_cycle ^ 1

    # Commands.

    def command(self, kind: TrbType, parameter: int = 0, control: int = 0, status: int = 0) -> Event:
        """Carry out a command; its completion event."""
        address = self.commands.put(parameter, status, kind << 10 | control)
        self.store(r.DOORBELLS, 0)
        found = [e for e in self.events() if e.type is TrbType.COMMAND_COMPLETION and e.pointer == address]
        assert len(found) == 1, f"{len(found)} completions of {kind.name}"
        return found[0]

    def enable(self) -> int:
        """Enable Slot; the slot's number, with a device context in place."""
        done = self.command(TrbType.ENABLE_SLOT)
        assert done.code is Completion.SUCCESS
        at = CONTEXT_ARRAY + 8 * done.slot
        self.memory[at : at + 8] = struct.pack("<Q", self.allocate(32 * 32))
        return done.slot

    def device_context(self, slot: int, number: int = 0) -> bytes:
        """A slot's output context: 0 the slot's, else an endpoint's."""
        (base,) = struct.unpack_from("<Q", self.memory, CONTEXT_ARRAY + 8 * slot)
        return bytes(self.memory[base + 32 * number : base + 32 * number + 32])

    def input_context(self, add: int, drop: int = 0) -> None:
        """An empty input context with these flags."""
        self.memory[INPUT : INPUT + 32 * 33] = bytes(32 * 33)
        self.memory[INPUT : INPUT + 8] = struct.pack("<II", drop, add)

    def put_context(self, number: int, data: bytes) -> None:
        """A context of the input context: 0 the slot's, else an endpoint's."""
        at = INPUT + 32 * (number + 1)
        self.memory[at : at + len(data)] = data

    def put_slot(self, port: int, speed: int, entries: int = 1, route: int = 0) -> None:
        """The input slot context."""
        self.put_context(0, struct.pack("<IIII", route | speed << 20 | entries << 27, port << 16, 0, 0))

    def put_endpoint(self, slot: int, number: int, kind: EndpointKind, packet: int) -> None:
        """An input endpoint context with a new transfer ring."""
        ring = Ring(self.memory, self.allocate(16 * RING_TRBS))
        self.rings[slot, number] = ring
        self.put_context(number, struct.pack("<IIQI", 0, 3 << 1 | kind << 3 | packet << 16, ring.pointer, 0))

    def address(self, slot: int, port: int, *, block: bool = False) -> Event:
        """Address Device for a root hub port."""
        self.input_context(add=3)
        self.put_slot(port, self.load(port_register(port)) >> 10 & 0xF)
        self.put_endpoint(slot, 1, EndpointKind.CONTROL, DEFAULT_PACKET)
        return self.command(TrbType.ADDRESS_DEVICE, INPUT, slot << 24 | block << 9)

    def configure(self, slot: int, endpoints: dict[int, tuple[EndpointKind, int]]) -> Event:
        """Configure Endpoint: number to kind and packet size."""
        self.input_context(add=1 | sum(1 << number for number in endpoints))
        self.put_slot(1, 1, max(endpoints))
        for number, (kind, packet) in endpoints.items():
            self.put_endpoint(slot, number, kind, packet)
        return self.command(TrbType.CONFIGURE_ENDPOINT, INPUT, slot << 24)

    def restart(self, slot: int, number: int) -> None:
        """Get a halted endpoint going behind the transfer that failed."""
        reset = self.command(TrbType.RESET_ENDPOINT, 0, slot << 24 | number << 16)
        assert reset.code is Completion.SUCCESS
        pointer = self.rings[slot, number].pointer
        moved = self.command(TrbType.SET_DEQUEUE, pointer, slot << 24 | number << 16)
        assert moved.code is Completion.SUCCESS

    def withdraw(self, slot: int, number: int) -> None:
        """Take back what waits on an endpoint's ring."""
        stopped = self.command(TrbType.STOP_ENDPOINT, 0, slot << 24 | number << 16)
        assert stopped.code is Completion.SUCCESS
        pointer = self.rings[slot, number].pointer
        assert self.command(TrbType.SET_DEQUEUE, pointer, slot << 24 | number << 16).code is Completion.SUCCESS

    # Transfers.

    def ring(self, slot: int, number: int) -> None:
        """A doorbell."""
        self.store(r.DOORBELLS + 4 * slot, number)

    def queue(self, slot: int, number: int, *lengths: int, data: bytes = b"", flags: int = 0) -> int:
        """One transfer of blocks of these lengths; the address of its memory."""
        lengths = lengths or (len(data),)
        buffer = self.allocate(max(64, sum(lengths)))
        self.memory[buffer : buffer + len(data)] = data
        inbound = SHORT_PACKET_INTERRUPT if number & 1 else 0
        at = buffer
        for i, length in enumerate(lengths):
            last = i == len(lengths) - 1
            more = INTERRUPT_ON_COMPLETION if last else CHAIN
            self.rings[slot, number].put(at, length, TrbType.NORMAL << 10 | inbound | more | flags)
            at += length
        self.ring(slot, number)
        return buffer

    def read(self, address: int, size: int) -> bytes:
        """The guest's memory."""
        return bytes(self.memory[address : address + size])

    def queue_control(self, slot: int, setup: bytes, data: bytes = b"") -> int:
        """A control transfer, its doorbell rung; the address of its data."""
        ring = self.rings[slot, 1]
        inbound, length = bool(setup[0] & 0x80), int.from_bytes(setup[6:8], "little")
        buffer = self.allocate(max(64, length))
        self.memory[buffer : buffer + len(data)] = data
        stage = 3 if inbound else 2
        ring.put(
            int.from_bytes(setup, "little"), 8, TrbType.SETUP << 10 | IMMEDIATE_DATA | (stage << 16 if length else 0)
        )
        if length:
            direction = DIRECTION_IN | SHORT_PACKET_INTERRUPT if inbound else 0
            ring.put(buffer, length, TrbType.DATA << 10 | direction)
        back = 0 if inbound and length else DIRECTION_IN
        ring.put(0, 0, TrbType.STATUS << 10 | back | INTERRUPT_ON_COMPLETION)
        self.ring(slot, 1)
        return buffer

    def control(
        self, slot: int, kind: int, request: int, value: int = 0, index: int = 0, length: int = 0, data: bytes = b""
    ) -> tuple[Completion, bytes]:
        """A control transfer that ends at once: how, and what came in."""
        setup = struct.pack("<BBHHH", kind, request, value, index, length or len(data))
        buffer = self.queue_control(slot, setup, data)
        found = [e for e in self.events() if e.type is TrbType.TRANSFER_EVENT and (e.slot, e.endpoint) == (slot, 1)]
        assert found, "the control transfer has not ended"
        short = next((e.length for e in found if e.code is Completion.SHORT_PACKET), 0)
        if found[-1].code is not Completion.SUCCESS:
            self.restart(slot, 1)
        return found[-1].code, self.read(buffer, length - short)

    def transfer_events(self, slot: int, number: int) -> list[tuple[Completion, int]]:
        """Take the events; code and length of those of an endpoint."""
        return [
            (e.code, e.length)
            for e in self.events()
            if e.type is TrbType.TRANSFER_EVENT and (e.slot, e.endpoint) == (slot, number)
        ]

    # The backend.

    def plug(self, message: Plugged) -> None:
        """Something is plugged in."""
        self.cpu.host_input(HostEvent.OPENED, encode_plugged(message))

    def unplug(self, port: int) -> None:
        """It goes."""
        self.cpu.host_input(HostEvent.CLOSED, encode_unplugged(port))

    def say(self, port: int, data: bytes, what: What = What.DATA) -> None:
        """The backend of a port says something."""
        self.cpu.host_input(HostEvent.DATA, encode_data(PortData(port, what, data)))

    def expire(self, timer: int) -> None:
        """An armed timer runs out."""
        del self.context.timers[timer]
        self.cpu.timer_expired(timer)

    def attach(self, message: Plugged) -> int:
        """Plug in, and bring it up; the slot."""
        self.plug(message)
        return self.bring_up(message.port)

    def connected(self, socket: int) -> bool:
        """Whether the guest sees something in a socket: at its USB 2 port or at its SuperSpeed port."""
        return any(self.load(port_register(p)) & 1 for p in (socket, socket + r.MAX_PORTS // 2))

    def bring_up(self, socket: int) -> int:
        """Reset the port of what is in a socket, enable a slot, address it; the slot."""
        port = next(p for p in (socket, socket + r.MAX_PORTS // 2) if self.load(port_register(p)) & 1)
        self.store(port_register(port), r.PORT_POWERED | r.PORT_RESET)
        self.store(port_register(port), r.PORT_POWERED | r.PORT_CHANGES)
        slot = self.enable()
        assert self.address(slot, port).code is Completion.SUCCESS
        return slot


def port_register(port: int) -> int:
    """A port's PORTSC."""
    return r.PORTS + (port - 1) * r.PORT_BYTES
