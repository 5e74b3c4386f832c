"""No guest and no backend brings the controller down, makes it work without end, or makes it forget what it saves."""

from __future__ import annotations

import copy
import struct
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.base import BackendBase
from devices.usb import registers as r
from devices.usb.contexts import EndpointKind
from devices.usb.functions import opcodes
from devices.usb.messages import (
    HostDescription,
    Kind,
    Plugged,
    StorageDescription,
    What,
    encode_plugged,
)
from devices.usb.model import Xhci
from devices.usb.state import XhciState
from devices.usb.trb import Completion, TrbType
from machine.message import HostEvent
from machine.vmstate import decode, encode
from tests.harness.fake_context import DirectCpu, TreatingCpu
from tests.harness.hosted import Erratic, Hosted
from tests.harness.xhci_driver import COMMAND_RING, EVENT_RING, EVENT_TABLE, INPUT, Driver, UsbContext, port_register

MOST_READS = 20_000
"""Looks at guest memory that one message may take."""
BULK = {3: (EndpointKind.BULK_IN, 512), 4: (EndpointKind.BULK_OUT, 512)}
DEVICES = (
    (Plugged(1, Kind.KEYBOARD), {3: (EndpointKind.INTERRUPT_IN, 8)}),
    (Plugged(2, Kind.MOUSE), {3: (EndpointKind.INTERRUPT_IN, 8)}),
    (Plugged(3, Kind.STORAGE, StorageDescription(1 << 20)), BULK),
    (
        Plugged(4, Kind.SERIAL),
        {3: (EndpointKind.INTERRUPT_IN, 16), 4: (EndpointKind.BULK_OUT, 512), 5: (EndpointKind.BULK_IN, 512)},
    ),
    (Plugged(5, Kind.HOST, HostDescription(3, b"\x12\x01", b"\x09\x02")), BULK),
)


@dataclass(slots=True)
class CountingContext(UsbContext):
    """Counts looks at memory."""

    reads: int = 0

    def dma_read(self, address: int, size: int) -> bytes:
        """The guest's memory."""
        assert size <= 1 << 20
        assert 0 <= address < 1 << 64
        self.reads += 1
        return UsbContext.dma_read(self, address, size)


def furnished(kind: type[DirectCpu] = DirectCpu) -> Driver:
    """A controller with one device of each kind, configured."""
    driver = Driver(kind)
    driver.context = driver.cpu.context = CountingContext(memory=driver.memory)
    for plugged, endpoints in DEVICES:
        slot = driver.attach(plugged)
        if plugged.kind is not Kind.HOST:
            assert driver.control(slot, 0, 9, 1)[0] is Completion.SUCCESS
        assert driver.configure(slot, endpoints).code is Completion.SUCCESS
    driver.context.outputs.clear()
    return driver


PLACES = st.one_of(
    st.sampled_from([COMMAND_RING, EVENT_RING, EVENT_TABLE, INPUT, 0x8000, 0x8400, 0x9000, 0]),
    st.integers(0, (1 << 20) - 1).map(lambda at: at & ~15),
    st.sampled_from([(1 << 64) - 16, 1 << 63, 1 << 40]),
)
TYPES = st.one_of(st.sampled_from(list(TrbType)), st.integers(0, 63))
FLAGS = st.integers(0, 0x3FF).map(lambda bits: bits & ~1)
TOPS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: pair[0] << 24 | pair[1] << 16)
LENGTHS = st.one_of(st.sampled_from([0, 1, 8, 13, 31, 512, 4096, 65536, 0x1FFFF]), st.integers(0, (1 << 32) - 1))
TRBS = st.tuples(PLACES, LENGTHS, st.tuples(TYPES, FLAGS, TOPS).map(lambda t: t[0] << 10 | t[1] | t[2]))
OFFSETS = st.one_of(
    st.sampled_from([r.USB_COMMAND, r.USB_STATUS, r.COMMAND_RING, r.CONTEXT_ARRAY, r.CONFIGURE, r.EVENT_TABLE_SIZE]),
    st.sampled_from([r.EVENT_TABLE, r.EVENT_DEQUEUE, r.INTERRUPT_MANAGEMENT, r.INTERRUPT_MODERATION]),
    st.integers(1, r.MAX_PORTS).map(port_register),
    st.integers(0, 0xFFF),
)
VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 3, 5, r.CMD_RUN | r.CMD_INTERRUPTS, 0x210, 0x10230, 0x102F1, EVENT_RING | 8]),
    PLACES,
    st.integers(0, (1 << 64) - 1),
)
RINGS = st.tuples(st.integers(0, 5), st.sampled_from([1, 3, 4, 5]))
DATA = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 9)).map(
        lambda t: struct.pack("<III", t[0], t[1], t[2]) + bytes(t[2])
    ),
    st.tuples(st.integers(0, 2), st.sampled_from([30, 42, 0, 1, 8, 272]), st.sampled_from([-300, 0, 0, 1, 1])).map(
        lambda t: struct.pack("<HHi", *t)
    ),
)
OPERATIONS = st.one_of(
    st.sampled_from([v for k, v in vars(opcodes).items() if k.isupper() and isinstance(v, int)]), st.integers(0, 255)
)
CDBS = st.tuples(OPERATIONS, st.one_of(st.just(bytes(15)), st.binary(min_size=15, max_size=15))).map(
    lambda t: bytes((t[0],)) + t[1]
)
SETUPS = st.one_of(
    st.binary(min_size=6, max_size=6).map(lambda data: data + b"\x40\0"),
    st.tuples(
        st.sampled_from([0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x21, 0xA1]),
        st.sampled_from([*range(12), 0x20, 0x21, 0x22, 0x23, 48, 49, 0xFE, 0xFF]),
        st.sampled_from([0, 1, 0x100, 0x200, 0x300, 0x301, 0x302, 0x303, 0x600, 0xF00, 0x2100, 0x2200, 0x0400]),
        st.sampled_from([0, 0, 1, 2, 0x81, 0x82]),
        st.sampled_from([0, 1, 7, 64]),
    ).map(lambda t: struct.pack("<BBHHH", *t)),
)
KINDS = st.sampled_from([9, 10, 11, 12, 13, 14, 14, 15, 15, 16, 16, 17, 23, 24])
STEP = st.one_of(
    st.tuples(st.just("trb"), RINGS, TRBS),
    st.tuples(st.just("trb"), RINGS, TRBS),
    st.tuples(st.just("bell"), RINGS, st.just(0)),
    st.tuples(st.just("transfer"), RINGS, LENGTHS),
    st.tuples(st.just("transfer"), RINGS, LENGTHS),
    st.tuples(st.just("cbw"), CDBS, st.tuples(LENGTHS, st.booleans())),
    st.tuples(st.just("cbw"), CDBS, st.tuples(LENGTHS, st.booleans())),
    st.tuples(st.just("control"), st.integers(1, 5), SETUPS),
    st.tuples(st.just("control"), st.integers(1, 5), SETUPS),
    st.tuples(st.just("command"), st.tuples(KINDS, st.integers(0, 6)), st.tuples(st.integers(0, 5), st.integers(0, 1))),
    st.tuples(st.just("command"), st.tuples(KINDS, st.integers(0, 6)), st.tuples(st.integers(0, 5), st.integers(0, 1))),
    st.tuples(st.just("store"), OFFSETS, st.tuples(VALUES, st.sampled_from([1, 2, 4, 4, 4, 8]))),
    st.tuples(st.just("load"), OFFSETS, st.sampled_from([1, 2, 4, 8])),
    st.tuples(st.just("poke"), PLACES, st.binary(min_size=1, max_size=64)),
    st.tuples(st.just("say"), st.tuples(st.integers(1, 5), st.sampled_from(list(What))), DATA),
    st.tuples(st.just("complete"), st.sampled_from([0, 0, 0, 5, 28, -32]), st.integers(-1, 1)),
    st.tuples(st.just("complete"), st.sampled_from([0, 0, 0, 5, 28, -32]), st.just(0)),
    st.tuples(st.just("raw"), st.sampled_from(list(HostEvent)), st.binary(max_size=20)),
    st.tuples(st.just("plug"), st.integers(0, 4), st.just(0)),
    st.tuples(st.just("unplug"), st.integers(1, 5), st.just(0)),
    st.tuples(st.just("expire"), st.integers(0, 24), st.just(0)),
    st.tuples(st.just("events"), st.just(0), st.just(0)),
    st.tuples(st.just("takes"), st.one_of(st.none(), st.integers(0, 100)), st.just(0)),
)
STEPS = st.lists(STEP, min_size=10, max_size=60)


def take(driver: Driver, what: str, first: object, second: object) -> object:
    """One step; what the guest sees of it."""
    match what, first, second:
        case "trb", (int(slot), int(number)), (int(parameter), int(status), int(control)):
            ring = driver.commands if slot == 0 else driver.rings.get((slot, number))
            if ring is not None:
                ring.put(parameter, status, control)
        case "transfer", (int(slot), int(number)), int(length) if (slot, number) in driver.rings:
            driver.rings[slot, number].put(0xC0000, length & 0xFFFF, TrbType.NORMAL << 10 | 0x24)
            driver.ring(slot, number)
        case "bell", (int(slot), int(number)), _:
            driver.ring(slot, number if slot else 0)
        case "store", int(offset), (int(value), int(size)):
            driver.cpu.store(offset, value & (1 << 8 * size) - 1, size)
        case "load", int(offset), int(size):
            return driver.cpu.load(offset, size)
        case "poke", int(place), bytes(data) if place < len(driver.memory):
            fits = data[: len(driver.memory) - place]
            driver.memory[place : place + len(fits)] = fits
        case _:
            drive(driver, what, first, second)
            from_outside(driver, what, first, second)
    return None


def drive(driver: Driver, what: str, first: object, second: object) -> None:
    """A step as drivers take it: a disk's command, a control transfer, a command for the controller."""
    match what, first, second:
        case "cbw", bytes(command), (int(length), bool(inbound)):
            block = struct.pack("<4sIIBBB", b"USBC", 7, length & 0xFFFFF, inbound << 7, 0, 16) + command
            driver.memory[0xF0000 : 0xF0000 + 31] = block
            driver.rings[3, 4].put(0xF0000, 31, TrbType.NORMAL << 10 | 0x20)
            driver.rings[3, 3].put(0xD0000, length & 0xFFFF, TrbType.NORMAL << 10 | 0x24)
            driver.rings[3, 4 - inbound].put(0xD0000, length & 0xFFFF, TrbType.NORMAL << 10 | 0x24)
            driver.rings[3, 3].put(0xD0000, 13, TrbType.NORMAL << 10 | 0x24)
            driver.ring(3, 4)
            driver.cpu.flush()
            driver.ring(3, 3)
        case "command", (int(kind), int(slot)), (int(number), int(flags)):
            driver.commands.put(INPUT, 0, kind << 10 | slot << 24 | number << 16 | flags << 9)
            driver.ring(0, 0)
        case "control", int(slot), bytes(setup):
            length = int.from_bytes(setup[6:], "little")
            driver.rings[slot, 1].put(int.from_bytes(setup, "little"), 8, TrbType.SETUP << 10 | 0x40)
            if length:
                driver.rings[slot, 1].put(0xE0000, length, TrbType.DATA << 10 | (setup[0] & 0x80) << 9)
            driver.rings[slot, 1].put(0, 0, TrbType.STATUS << 10 | 0x20)
            driver.ring(slot, 1)
        case _:
            pass


def from_outside(driver: Driver, what: str, first: object, second: object) -> None:
    """A step of the backend's or of time's."""
    match what, first, second:
        case "say", (int(port), What() as said), bytes(data):
            driver.say(port, data, said)
        case "complete", int(status), int(difference):
            complete(driver, status, difference)
        case "raw", HostEvent() as event, bytes(data):
            driver.cpu.host_input(event, data)
        case "plug", int(which), _:
            driver.cpu.host_input(HostEvent.OPENED, encode_plugged(DEVICES[which][0]))
        case "unplug", int(port), _:
            driver.unplug(port)
        case "expire", int(timer), _:
            driver.context.timers.pop(timer, None)
            driver.cpu.timer_expired(timer)
        case "takes", (None | int()) as count, _:
            driver.context.takes = count
        case _:
            driver.cpu.flush()


def complete(driver: Driver, status: int, difference: int) -> None:
    """The image and the device from outside end what is under way, with a wrong length now and then."""
    for storage in driver.model.state.sockets[2].storage:
        if storage.operation:
            size = max(0, storage.asked + difference)
            driver.say(3, struct.pack("<II", storage.request, abs(status)) + bytes(size))
    for host in driver.model.state.sockets[4].host:
        for transfer in host.transfers:
            size = max(0, transfer.length + difference)
            driver.say(5, struct.pack("<IiI", transfer.tag, min(status, 0), size) + bytes(size))


def run(driver: Driver, steps: list[tuple[str, object, object]]) -> list[object]:
    """All steps; what the guest has seen."""
    seen = []
    attentive = True
    for what, first, second in steps:
        assert isinstance(driver.context, CountingContext)
        driver.context.reads = 0
        seen.append(take(driver, what, first, second))
        attentive ^= what == "events"
        if attentive:
            driver.cpu.flush()
            end = EVENT_RING + (driver.model.state.interrupter.index << 4)
            driver.store_wide(r.EVENT_DEQUEUE, end | r.HANDLER_BUSY)
        assert driver.context.reads <= MOST_READS
    driver.cpu.flush()
    return [*seen, driver.cpu.line(), bytes(driver.memory), driver.context.outputs, driver.context.timers]


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_nothing_brings_it_down_and_every_message_ends(steps: list[tuple[str, object, object]]) -> None:
    run(furnished(), steps)


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS)
def test_saved_and_loaded_under_way_it_goes_on_as_if_nothing_had_been(
    before: list[tuple[str, object, object]], after: list[tuple[str, object, object]]
) -> None:
    straight = furnished()
    run(straight, before)
    other = copy.deepcopy(straight)
    other.model.state = decode(XhciState, encode(straight.model.state))
    assert run(other, after) == run(straight, after)
    assert encode(other.model.state) == encode(straight.model.state)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_a_hostile_driver_has_done_replays(steps: list[tuple[str, object, object]]) -> None:
    driver = furnished()
    backend = Erratic("usb0")
    hosted = Hosted(driver.cpu, backend)
    for step in steps:
        backend.takes = driver.context.takes if driver.context.takes is not None else 1 << 20
        run(driver, [step])
    hosted.replay(Xhci(), BackendBase("usb0"))


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_short_cuts_show_the_guest_what_calls_would(steps: list[tuple[str, object, object]]) -> None:
    direct, treating = furnished(DirectCpu), furnished(TreatingCpu)
    for step in steps:
        assert run(treating, [step]) == run(direct, [step])
    assert isinstance(treating.cpu, TreatingCpu)
    shadows = treating.cpu.registers.values()
    assert all(direct.cpu.load(row.offset, 8) == row.value for row in shadows if row.offset != r.MICROFRAME_INDEX)
