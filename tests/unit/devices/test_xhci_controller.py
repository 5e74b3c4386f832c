"""The controller's registers, its start and stop, its event ring and its interrupt are what the specification says."""

from __future__ import annotations

import struct

import pytest

from devices.usb import registers as r
from devices.usb.interrupter import MODERATION
from devices.usb.messages import Kind, Plugged
from devices.usb.model import DEFERRED, WRAP, WRAP_NS
from devices.usb.trb import Completion, TrbType
from machine.message import HostEvent, IrqLevel, RegisterMap
from tests.harness.fake_context import DirectCpu, TreatingCpu
from tests.harness.xhci_driver import COMMAND_RING, EVENT_RING, EVENT_TABLE, EVENT_TRBS, Driver, port_register

CPUS = [DirectCpu, TreatingCpu]
USABLE = EVENT_TRBS - 2
"""Events that fit before the one that says that the ring is full."""


def test_the_capability_registers_describe_it() -> None:
    driver = Driver(start=False)
    assert driver.cpu.load(0, 1) == 0x40
    assert driver.cpu.load(2, 2) == 0x0110
    assert driver.load(r.HCS_PARAMS_1) == r.MAX_SLOTS | 1 << 8 | r.MAX_PORTS << 24
    assert driver.load(r.PAGE_SIZE) == 1
    extended = (driver.load(r.HCC_PARAMS_1) >> 16) * 4
    protocols = []
    while extended:
        first, name, ports = (driver.load(extended + 4 * i) for i in range(3))
        assert (first & 0xFF, name.to_bytes(4, "little")) == (2, b"USB ")
        protocols.append((first >> 24, ports & 0xFF, ports >> 8 & 0xFF))
        step = first >> 8 & 0xFF
        extended = extended + step * 4 if step else 0
    assert protocols == [(2, 1, 8), (3, 9, 8)]


@pytest.mark.parametrize("kind", CPUS)
def test_polling_costs_no_round_trip(kind: type[DirectCpu]) -> None:
    driver = Driver(kind)
    before = driver.cpu.calls
    for _ in range(100):
        driver.load(r.USB_STATUS)
        driver.load(port_register(3))
        driver.load(r.INTERRUPT_MANAGEMENT)
        driver.load(r.HCS_PARAMS_1)
        driver.load(r.EVENT_DEQUEUE)
    assert driver.cpu.calls - before == (0 if kind is TreatingCpu else 500)


def test_doorbells_are_gathered_and_answered_in_one_message() -> None:
    driver = Driver(TreatingCpu)
    for _ in range(3):
        driver.commands.put(0, 0, TrbType.NO_OP_COMMAND << 10)
        driver.store(r.DOORBELLS, 0)
    before = driver.cpu.calls
    assert not driver.peek()
    driver.cpu.flush()
    assert driver.cpu.calls == before + 1
    assert [event.code for event in driver.peek()] == [Completion.SUCCESS] * 3


def test_a_load_sees_what_the_doorbell_before_it_has_led_to() -> None:
    driver = Driver(TreatingCpu)
    driver.commands.put(0, 0, TrbType.NO_OP_COMMAND << 10)
    driver.store(r.DOORBELLS, 0)
    assert driver.load(r.COMMAND_RING) == r.RING_RUNNING
    assert len(driver.peek()) == 1


def test_registers_have_their_widths() -> None:
    driver = Driver(start=False)
    cpu = driver.cpu
    cpu.store(r.CONTEXT_ARRAY, 0x1_2345_6789_ABCD, 8)
    assert cpu.load(r.CONTEXT_ARRAY, 8) == 0x1_2345_6789_ABC0
    assert (cpu.load(r.CONTEXT_ARRAY, 4), cpu.load(r.CONTEXT_ARRAY + 4, 4)) == (0x6789_ABC0, 0x1_2345)
    cpu.store(r.CONFIGURE, 7, 1)
    cpu.store(r.CONFIGURE, 7, 2)
    cpu.store(r.CONFIGURE + 1, 7, 4)
    assert cpu.load(r.CONFIGURE, 4) == 0
    cpu.store(r.NOTIFICATION_CONTROL, 0x1_0002, 4)
    assert cpu.load(r.NOTIFICATION_CONTROL, 4) == 2


def test_nothing_moves_while_it_is_halted() -> None:
    driver = Driver()
    driver.store(r.USB_COMMAND, 0)
    assert driver.load(r.USB_STATUS) & r.STS_HALTED
    driver.commands.put(0, 0, TrbType.NO_OP_COMMAND << 10)
    driver.store(r.DOORBELLS, 0)
    assert driver.events() == []
    driver.store(r.USB_COMMAND, r.CMD_RUN | r.CMD_INTERRUPTS)
    assert not driver.load(r.USB_STATUS) & r.STS_HALTED
    assert driver.events() == []
    driver.store(r.DOORBELLS, 0)
    assert len(driver.events()) == 1


def test_a_reset_forgets_all_but_what_is_plugged_in() -> None:
    driver = Driver()
    driver.attach(Plugged(2, Kind.KEYBOARD))
    driver.store(r.USB_COMMAND, r.CMD_RESET)
    assert driver.load(r.USB_COMMAND) == 0
    assert driver.load(r.USB_STATUS) == r.STS_HALTED
    status = driver.load(port_register(2))
    assert status & (r.PORT_CONNECTED | r.PORT_ENABLED | r.PORT_CONNECT_CHANGE) == (
        r.PORT_CONNECTED | r.PORT_CONNECT_CHANGE
    )
    assert driver.cpu.load(r.CONTEXT_ARRAY, 8) == 0
    assert not any(slot.enabled for slot in driver.model.state.slots)


def test_what_was_plugged_in_before_the_start_is_told_at_the_start() -> None:
    driver = Driver(start=False)
    driver.plug(Plugged(3, Kind.SERIAL))
    driver.start()
    (event,) = driver.events()
    assert (event.type, event.pointer >> 24) == (TrbType.PORT_STATUS_CHANGE, 3)
    assert driver.load(r.USB_STATUS) & r.STS_PORT_CHANGE
    driver.store(r.USB_STATUS, r.STS_PORT_CHANGE)
    assert not driver.load(r.USB_STATUS) & r.STS_PORT_CHANGE


def test_an_interrupt_is_raised_once_until_the_guest_has_looked() -> None:
    driver = Driver()
    driver.plug(Plugged(1, Kind.MOUSE))
    assert driver.cpu.line()
    assert driver.load(r.USB_STATUS) & r.STS_EVENT
    driver.store(r.USB_STATUS, r.STS_EVENT)
    assert driver.cpu.line()
    driver.store(r.INTERRUPT_MANAGEMENT, r.INTERRUPT_PENDING | r.INTERRUPT_ENABLED)
    assert not driver.cpu.line()
    driver.plug(Plugged(2, Kind.MOUSE))
    assert not driver.cpu.line(), "EHB: the guest is at it"
    driver.store_wide(r.EVENT_DEQUEUE, EVENT_RING + 16 | r.HANDLER_BUSY)
    assert driver.cpu.line(), "one event is left in the ring"
    assert len(driver.events()) == 2
    assert not driver.cpu.line()
    assert not driver.load(r.EVENT_DEQUEUE) & r.HANDLER_BUSY


@pytest.mark.parametrize("silence", ["management", "command"])
def test_interrupts_that_are_switched_off_do_not_reach_the_line(silence: str) -> None:
    driver = Driver()
    if silence == "management":
        driver.store(r.INTERRUPT_MANAGEMENT, 0)
    else:
        driver.store(r.USB_COMMAND, r.CMD_RUN)
    driver.plug(Plugged(1, Kind.MOUSE))
    assert not driver.cpu.line()
    assert driver.load(r.INTERRUPT_MANAGEMENT) & r.INTERRUPT_PENDING
    driver.store(r.INTERRUPT_MANAGEMENT, r.INTERRUPT_ENABLED)
    driver.store(r.USB_COMMAND, r.CMD_RUN | r.CMD_INTERRUPTS)
    assert driver.cpu.line()


def test_moderation_holds_the_next_interrupt_back() -> None:
    driver = Driver()
    driver.store(r.INTERRUPT_MODERATION, 160)
    driver.plug(Plugged(1, Kind.MOUSE))
    driver.events()
    assert driver.context.timers == {MODERATION: 40_000}
    driver.plug(Plugged(2, Kind.MOUSE))
    assert not driver.cpu.line()
    driver.expire(MODERATION)
    assert driver.cpu.line()


def test_a_full_event_ring_says_so_and_loses_nothing() -> None:
    driver = Driver()
    for _ in range(USABLE + 10):
        driver.commands.put(0, 0, TrbType.NO_OP_COMMAND << 10)
    driver.store(r.DOORBELLS, 0)
    first = driver.events()
    assert [event.type for event in first] == [TrbType.COMMAND_COMPLETION] * USABLE + [TrbType.HOST_CONTROLLER]
    assert first[-1].code is Completion.EVENT_RING_FULL
    rest = driver.events()
    assert [event.pointer for event in [*first[:-1], *rest]] == [COMMAND_RING + 16 * i for i in range(USABLE + 10)]


def test_a_ring_of_two_segments_is_filled_in_turn() -> None:
    driver = Driver()
    second = driver.allocate(16 * 16)
    driver.memory[EVENT_TABLE : EVENT_TABLE + 32] = struct.pack("<QIIQII", EVENT_RING, 16, 0, second, 16, 0)
    driver.store(r.EVENT_TABLE_SIZE, 2)
    driver.store_wide(r.EVENT_TABLE, EVENT_TABLE)
    driver.store_wide(r.EVENT_DEQUEUE, second + 16 * 15)
    for _ in range(20):
        driver.commands.put(0, 0, TrbType.NO_OP_COMMAND << 10)
    driver.store(r.DOORBELLS, 0)
    assert driver.read(EVENT_RING + 16 * 15 + 12, 1) == b"\1"
    assert driver.read(second + 16 * 3 + 12, 1) == b"\1"
    assert driver.read(second + 16 * 4 + 12, 1) == b"\0"


@pytest.mark.parametrize(("size", "segment"), [(0, 32), (1, 0), (1, 15), (1, 4097)])
def test_without_a_sensible_event_ring_it_fails_and_a_reset_helps(size: int, segment: int) -> None:
    driver = Driver()
    driver.memory[EVENT_TABLE : EVENT_TABLE + 16] = struct.pack("<QII", EVENT_RING, segment, 0)
    driver.store(r.EVENT_TABLE_SIZE, size)
    driver.store_wide(r.EVENT_TABLE, EVENT_TABLE)
    driver.plug(Plugged(1, Kind.MOUSE))
    assert driver.load(r.USB_STATUS) & (r.STS_CONTROLLER_ERROR | r.STS_HALTED) == r.STS_CONTROLLER_ERROR | r.STS_HALTED
    driver.store(r.USB_COMMAND, r.CMD_RUN)
    assert driver.load(r.USB_STATUS) & r.STS_HALTED
    driver.store(r.USB_COMMAND, r.CMD_RESET)
    assert driver.load(r.USB_STATUS) == r.STS_HALTED


def test_a_command_ring_that_only_links_fails_the_controller() -> None:
    driver = Driver()
    driver.memory[COMMAND_RING : COMMAND_RING + 16] = struct.pack("<QII", COMMAND_RING, 0, TrbType.LINK << 10 | 1)
    driver.store(r.DOORBELLS, 0)
    assert driver.load(r.USB_STATUS) & r.STS_CONTROLLER_ERROR


def test_commands_without_end_are_done_a_few_at_each_sync_point() -> None:
    driver = Driver()
    base = driver.allocate(32)
    driver.memory[base : base + 32] = struct.pack(
        "<QIIQII", 0, 0, TrbType.NO_OP_COMMAND << 10 | 1, base, 0, TrbType.LINK << 10 | 1
    )
    driver.store_wide(r.EVENT_DEQUEUE, 0x10)
    driver.store_wide(r.COMMAND_RING, base | 1)
    driver.store(r.DOORBELLS, 0)
    assert driver.context.timers == {DEFERRED: 0}
    driver.expire(DEFERRED)
    assert driver.context.timers == {DEFERRED: 0}
    driver.store(r.COMMAND_RING, r.RING_ABORT)
    driver.expire(DEFERRED)
    assert driver.context.timers == {}


def test_the_command_ring_stops_when_told_and_goes_on_where_it_was() -> None:
    driver = Driver()
    driver.command(TrbType.NO_OP_COMMAND)
    assert driver.load(r.COMMAND_RING) == r.RING_RUNNING
    driver.store_wide(r.COMMAND_RING, 0x7000)
    driver.store(r.COMMAND_RING, r.RING_STOP)
    (stopped,) = driver.events()
    assert (stopped.code, stopped.pointer) == (Completion.COMMAND_RING_STOPPED, COMMAND_RING + 16)
    assert driver.load(r.COMMAND_RING) == 0
    assert driver.command(TrbType.NO_OP_COMMAND).code is Completion.SUCCESS


def test_frame_index_wraps_are_told_while_they_are_wanted() -> None:
    driver = Driver()
    driver.context.clock_step_ns = 125_000
    one, two = driver.load(r.MICROFRAME_INDEX), driver.load(r.MICROFRAME_INDEX)
    assert two == (one + 1) & 0x3FFF
    driver.store(r.USB_COMMAND, r.CMD_RUN | r.CMD_INTERRUPTS | r.CMD_WRAP_EVENTS)
    assert driver.context.timers == {WRAP: WRAP_NS}
    driver.expire(WRAP)
    assert [event.type for event in driver.events()] == [TrbType.FRAME_INDEX_WRAP]
    driver.store(r.USB_COMMAND, r.CMD_RUN | r.CMD_INTERRUPTS)
    driver.expire(WRAP)
    assert driver.events() == []
    assert driver.context.timers == {}


def test_a_restore_is_refused_so_that_the_driver_begins_anew() -> None:
    driver = Driver()
    driver.store(r.USB_COMMAND, r.CMD_RESTORE)
    assert driver.load(r.USB_STATUS) & r.STS_RESTORE_ERROR
    driver.store(r.USB_COMMAND, r.CMD_SAVE)
    assert not driver.load(r.USB_STATUS) & r.STS_RESTORE_ERROR


def test_effects_say_only_what_has_changed() -> None:
    driver = Driver()
    model, context = driver.model, driver.context
    model.settle(context)
    assert context.effects == []
    model.host_input(HostEvent.OPENED, b"\1\1", context)
    model.settle(context)
    maps = [effect for effect in context.effects if isinstance(effect, RegisterMap)]
    assert [row.offset for row in maps[0].registers] == [
        r.USB_STATUS,
        r.INTERRUPT_MANAGEMENT,
        r.EVENT_DEQUEUE,
        port_register(1),
    ]
    assert context.effects[-1] == IrqLevel(level=True)
