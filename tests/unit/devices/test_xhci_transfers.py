"""Transfer rings: stages of control transfers, chained blocks, events, short packets, halts, stopping under way."""

from __future__ import annotations

import struct

import pytest

from devices.usb import registers as r
from devices.usb.contexts import EndpointKind, EndpointPhase
from devices.usb.messages import HostDescription, Kind, Plugged, What
from devices.usb.model import DEFERRED
from devices.usb.trb import (
    BLOCK_INTERRUPT,
    CHAIN,
    DIRECTION_IN,
    EVENT_DATA,
    IMMEDIATE_DATA,
    INTERRUPT_ON_COMPLETION,
    SHORT_PACKET_INTERRUPT,
    TOGGLE_CYCLE,
    Completion,
    TrbType,
)
from tests.harness.xhci_driver import RING_TRBS, Driver

SERIAL = Plugged(1, Kind.SERIAL)
ENDPOINTS = {
    3: (EndpointKind.INTERRUPT_IN, 16),
    4: (EndpointKind.BULK_OUT, 512),
    5: (EndpointKind.BULK_IN, 512),
}
IN, OUT = 5, 4
SUCCESS, SHORT = Completion.SUCCESS, Completion.SHORT_PACKET
DEVICE_DESCRIPTOR = bytes.fromhex("8006000100001200")
IOC, ISP = INTERRUPT_ON_COMPLETION, SHORT_PACKET_INTERRUPT


def line() -> tuple[Driver, int]:
    """A serial adapter, configured: what goes in at its OUT endpoint comes to the backend, and back."""
    driver = Driver()
    slot = driver.attach(SERIAL)
    assert driver.control(slot, 0, 9, 1)[0] is SUCCESS
    assert driver.configure(slot, ENDPOINTS).code is SUCCESS
    return driver, slot


def put(driver: Driver, slot: int, number: int, *blocks: tuple[int, int, int, int]) -> list[int]:
    """Blocks as (type, parameter, length, flags), the doorbell rung; their addresses."""
    ring = driver.rings[slot, number]
    found = [ring.put(parameter, length, kind << 10 | flags) for kind, parameter, length, flags in blocks]
    driver.ring(slot, number)
    return found


def phase(driver: Driver, slot: int, number: int) -> int:
    """EP State in the output context."""
    return driver.device_context(slot, number)[0] & 7


def told(driver: Driver) -> list[tuple[int, Completion, int]]:
    """Pointer, code and length of every transfer event since the last look."""
    events = driver.events()
    return [(e.pointer, e.code, e.length) for e in events if e.type is TrbType.TRANSFER_EVENT]


def test_out_gathers_chained_blocks_in_their_order() -> None:
    driver, slot = line()
    driver.queue(slot, OUT, 3, 4, 5, data=b"abcdefghijkl")
    assert driver.context.outputs == [b"\1abcdefghijkl"]
    assert driver.transfer_events(slot, OUT) == [(SUCCESS, 0)]


def test_in_scatters_over_chained_blocks_and_stops_short() -> None:
    driver, slot = line()
    buffer = driver.allocate(64)
    first, second, third = put(
        driver,
        slot,
        IN,
        (TrbType.NORMAL, buffer, 4, ISP | CHAIN),
        (TrbType.NORMAL, buffer + 32, 4, ISP | CHAIN),
        (TrbType.NORMAL, buffer + 48, 4, ISP | IOC),
    )
    driver.say(1, b"123456")
    assert driver.read(buffer, 4) + driver.read(buffer + 32, 2) == b"123456"
    assert told(driver) == [(second, SHORT, 2)]
    put(driver, slot, IN, (TrbType.NORMAL, buffer, 2, ISP | IOC))
    driver.say(1, b"xy")
    assert told(driver) == [(third + 16, SUCCESS, 0)]
    assert first == second - 16


def test_a_short_packet_that_nobody_wants_to_hear_of_is_told_at_the_blocks_end() -> None:
    driver, slot = line()
    _, last = put(driver, slot, IN, (TrbType.NORMAL, 0x9000, 8, CHAIN), (TrbType.NORMAL, 0x9100, 8, IOC))
    driver.say(1, b"abc")
    assert told(driver) == [(last, SHORT, 8)]
    put(driver, slot, IN, (TrbType.NORMAL, 0x9000, 8, 0))
    driver.say(1, b"abc")
    assert told(driver) == []


def test_event_data_says_how_much_came() -> None:
    driver, slot = line()
    middle, _, _ = put(
        driver,
        slot,
        IN,
        (TrbType.NORMAL, 0x9000, 4, CHAIN | IOC),
        (TrbType.NORMAL, 0x9100, 8, CHAIN),
        (TrbType.EVENT_DATA, 0xFEED_FACE_CAFE, 0, IOC),
    )
    driver.say(1, b"123456")
    assert told(driver) == [(middle, SUCCESS, 0), (0xFEED_FACE_CAFE, SHORT, 6)]
    assert driver.log[-1].flags & EVENT_DATA


def test_an_event_that_may_wait_raises_no_interrupt() -> None:
    driver, slot = line()
    driver.events()
    driver.queue(slot, OUT, data=b"a", flags=BLOCK_INTERRUPT)
    assert not driver.cpu.line()
    driver.queue(slot, OUT, data=b"b")
    assert driver.cpu.line()
    assert len(driver.transfer_events(slot, OUT)) == 2


def test_immediate_data_is_in_the_block_itself() -> None:
    driver, slot = line()
    put(driver, slot, OUT, (TrbType.NORMAL, int.from_bytes(b"hello\0\0\0", "little"), 5, IMMEDIATE_DATA | IOC))
    assert driver.context.outputs == [b"\1hello"]


def test_links_are_followed_with_their_toggled_cycle() -> None:
    driver, slot = line()
    for i in range(3 * RING_TRBS):
        driver.queue(slot, OUT, 1, 1, data=bytes((i & 0xFF, 0xFF)))
        assert driver.transfer_events(slot, OUT) == [(SUCCESS, 0)]
    assert b"".join(data[1:2] for data in driver.context.outputs) == bytes(i & 0xFF for i in range(3 * RING_TRBS))


def test_a_transfer_that_is_not_whole_yet_waits_for_its_rest() -> None:
    driver, slot = line()
    put(driver, slot, OUT, (TrbType.NORMAL, 0x9000, 2, CHAIN))
    assert driver.context.outputs == []
    put(driver, slot, OUT, (TrbType.NORMAL, 0x9000, 2, IOC))
    assert driver.context.outputs == [b"\1\0\0\0\0"]


def test_a_no_op_ends_at_once_and_an_empty_transfer_too() -> None:
    driver, slot = line()
    (no_op,) = put(driver, slot, OUT, (TrbType.NO_OP, 0, 0, IOC))
    (empty,) = put(driver, slot, OUT, (TrbType.NORMAL, 0x9000, 0, IOC))
    assert told(driver) == [(no_op, SUCCESS, 0), (empty, SUCCESS, 0)]
    assert driver.context.outputs == []


def test_what_the_backend_does_not_take_waits_on_the_ring() -> None:
    driver, slot = line()
    driver.context.takes = 4
    driver.queue(slot, OUT, 5, 5, data=b"0123456789")
    driver.queue(slot, OUT, data=b"later")
    assert driver.context.outputs == [b"\x01012"]
    assert driver.transfer_events(slot, OUT) == []
    driver.context.takes = None
    driver.say(1, b"", What.WRITABLE)
    assert driver.context.outputs[1:] == [b"\x013456789", b"\1later"]
    assert driver.transfer_events(slot, OUT) == [(SUCCESS, 0), (SUCCESS, 0)]


def test_stopping_tells_where_it_stood_and_starting_goes_on_there() -> None:
    driver, slot = line()
    driver.context.takes = 7
    buffer = driver.queue(slot, OUT, 4, 4, data=b"abcdefgh")
    second = driver.rings[slot, OUT].pointer - 17
    stop = driver.command(TrbType.STOP_ENDPOINT, 0, slot << 24 | OUT << 16)
    assert stop.code is SUCCESS
    stopped = [(e.pointer, e.code, e.length) for e in driver.log if e.type is TrbType.TRANSFER_EVENT][-1]
    assert stopped == (second, Completion.STOPPED, 2)
    assert struct.unpack_from("<Q", driver.device_context(slot, OUT), 8) == (second | 1,)
    driver.context.takes = None
    driver.say(1, b"", What.WRITABLE)
    assert driver.context.outputs == [b"\1abcdef"]
    driver.ring(slot, OUT)
    assert driver.context.outputs == [b"\1abcdef", b"\1gh"]
    assert driver.transfer_events(slot, OUT) == [(SUCCESS, 0)]
    assert driver.read(buffer, 8) == b"abcdefgh"


def test_an_idle_endpoint_stops_without_a_word() -> None:
    driver, slot = line()
    driver.command(TrbType.STOP_ENDPOINT, 0, slot << 24 | IN << 16)
    assert all(event.code is not Completion.STOPPED for event in driver.log)
    assert phase(driver, slot, IN) == EndpointPhase.STOPPED


def test_a_stall_halts_the_endpoint_until_it_is_reset() -> None:
    driver, slot = line()
    assert driver.control(slot, 0x02, 3, 0, 0x82)[0] is SUCCESS
    (failed,) = put(driver, slot, IN, (TrbType.NORMAL, 0x9000, 8, ISP | IOC))
    assert told(driver) == [(failed, Completion.STALL, 8)]
    assert phase(driver, slot, IN) == EndpointPhase.HALTED
    assert struct.unpack_from("<Q", driver.device_context(slot, IN), 8) == (failed | 1,)
    driver.ring(slot, IN)
    assert told(driver) == []
    driver.restart(slot, IN)
    assert driver.control(slot, 0x02, 1, 0, 0x82)[0] is SUCCESS
    driver.queue(slot, IN, 8)
    driver.say(1, b"again")
    assert driver.transfer_events(slot, IN) == [(SHORT, 3)]


def test_a_reset_endpoint_may_try_the_same_transfer_again() -> None:
    driver, slot = line()
    driver.control(slot, 0x02, 3, 0, 0x82)
    driver.queue(slot, IN, 8)
    driver.control(slot, 0x02, 1, 0, 0x82)
    driver.command(TrbType.RESET_ENDPOINT, 0, slot << 24 | IN << 16)
    driver.say(1, b"12345678")
    driver.ring(slot, IN)
    assert driver.transfer_events(slot, IN) == [(SUCCESS, 0)]


def test_more_than_fits_is_babble() -> None:
    driver, slot = line()
    driver.queue(slot, 3, 4)
    assert driver.transfer_events(slot, 3) == [(Completion.BABBLE, 4)]
    assert phase(driver, slot, 3) == EndpointPhase.HALTED


@pytest.mark.parametrize(
    ("number", "block"),
    [
        (OUT, (TrbType.SETUP, 0, 8, IMMEDIATE_DATA)),
        (OUT, (TrbType.ISOCH, 0x9000, 8, IOC)),
        (OUT, (TrbType.ENABLE_SLOT, 0, 0, 0)),
        (OUT, (0, 0, 0, 0)),
        (OUT, (TrbType.NORMAL, 0, 9, IMMEDIATE_DATA)),
        (1, (TrbType.NORMAL, 0x9000, 8, IOC)),
        (1, (TrbType.SETUP, 0, 8, 0)),
        (1, (TrbType.SETUP, 0, 7, IMMEDIATE_DATA)),
        (1, (TrbType.DATA, 0x9000, 8, DIRECTION_IN)),
        (1, (TrbType.STATUS, 0, 0, IOC)),
    ],
)
def test_a_block_that_does_not_belong_there_is_an_error(number: int, block: tuple[int, int, int, int]) -> None:
    driver, slot = line()
    (address,) = put(driver, slot, number, block)
    ((pointer, code, _),) = told(driver)
    assert (pointer, code) == (address, Completion.TRB_ERROR)
    assert phase(driver, slot, number) == EndpointPhase.ERROR
    moved = driver.command(TrbType.SET_DEQUEUE, driver.rings[slot, number].pointer, slot << 24 | number << 16)
    assert moved.code is SUCCESS
    assert phase(driver, slot, number) == EndpointPhase.STOPPED


def test_a_transfer_without_end_is_an_error() -> None:
    driver, slot = line()
    ring = driver.rings[slot, OUT]
    ring.put(0x9000, 1, TrbType.NORMAL << 10 | CHAIN)
    ring.put(ring.base, 0, TrbType.LINK << 10 | CHAIN)
    driver.ring(slot, OUT)
    assert driver.transfer_events(slot, OUT)[0][0] is Completion.TRB_ERROR
    assert driver.context.outputs == []


def test_links_in_a_circle_are_an_error() -> None:
    driver, slot = line()
    ring = driver.rings[slot, OUT]
    ring.put(ring.base, 0, TrbType.LINK << 10)
    driver.ring(slot, OUT)
    assert driver.transfer_events(slot, OUT)[0][0] is Completion.TRB_ERROR


def test_transfers_without_end_are_done_a_few_at_each_sync_point() -> None:
    driver, slot = line()
    ring = driver.rings[slot, OUT]
    ring.put(0x9000, 1, TrbType.NORMAL << 10)
    ring.put(ring.base, 0, TrbType.LINK << 10)
    driver.ring(slot, OUT)
    assert driver.context.timers == {DEFERRED: 0}
    before = len(driver.context.outputs)
    driver.expire(DEFERRED)
    assert driver.context.timers == {DEFERRED: 0}
    assert before < len(driver.context.outputs) <= 2 * before
    driver.command(TrbType.STOP_ENDPOINT, 0, slot << 24 | OUT << 16)
    driver.expire(DEFERRED)
    assert driver.context.timers == {}


def test_a_large_transfer_goes_in_pieces() -> None:
    driver, slot = line()
    for _ in range(6):
        driver.rings[slot, OUT].put(0x8000, 0x10000, TrbType.NORMAL << 10 | CHAIN)
    driver.rings[slot, OUT].put(0x8000, 5, TrbType.NORMAL << 10 | IOC)
    driver.ring(slot, OUT)
    assert [len(data) - 1 for data in driver.context.outputs] == [0x20000] * 3 + [5]
    assert driver.transfer_events(slot, OUT) == [(SUCCESS, 0)]


def test_each_stage_of_a_control_transfer_may_have_its_own_doorbell() -> None:
    driver, slot = line()
    setup = int.from_bytes(DEVICE_DESCRIPTOR, "little")
    for block in (
        (TrbType.SETUP, setup, 8, IMMEDIATE_DATA | IOC),
        (TrbType.DATA, 0x9000, 18, DIRECTION_IN | IOC),
        (TrbType.STATUS, 0, 0, IOC),
    ):
        (address,) = put(driver, slot, 1, block)
        assert told(driver) == [(address, SUCCESS, 0)]
    assert driver.read(0x9000, 2) == b"\x12\x01"


def test_a_new_request_cuts_off_the_old_one() -> None:
    driver, slot = line()
    put(driver, slot, 1, (TrbType.SETUP, int.from_bytes(DEVICE_DESCRIPTOR, "little"), 8, IMMEDIATE_DATA))
    code, data = driver.control(slot, 0x80, 8, length=1)
    assert (code, data) == (SUCCESS, b"\1")


def test_a_short_reply_is_told_and_the_status_follows() -> None:
    driver, slot = line()
    driver.queue_control(slot, bytes.fromhex("8006000100004000"))
    assert driver.transfer_events(slot, 1) == [(SHORT, 64 - 18), (SUCCESS, 0)]


def test_a_request_that_is_not_understood_stalls_in_its_data_or_status_stage() -> None:
    driver, slot = line()
    driver.queue_control(slot, bytes.fromhex("8006000900004000"))
    assert driver.transfer_events(slot, 1) == [(Completion.STALL, 64)]
    driver.restart(slot, 1)
    driver.queue_control(slot, bytes.fromhex("0077000000000000"))
    assert driver.transfer_events(slot, 1) == [(Completion.STALL, 0)]
    driver.restart(slot, 1)
    assert driver.control(slot, 0x80, 8, length=1) == (SUCCESS, b"\1")


def test_a_data_stage_of_the_wrong_direction_stalls_and_one_too_small_babbles() -> None:
    driver, slot = line()
    setup = (TrbType.SETUP, int.from_bytes(DEVICE_DESCRIPTOR, "little"), 8, IMMEDIATE_DATA)
    put(driver, slot, 1, setup, (TrbType.DATA, 0x9000, 18, 0))
    assert driver.transfer_events(slot, 1) == [(Completion.STALL, 18)]
    driver.restart(slot, 1)
    put(driver, slot, 1, setup, (TrbType.DATA, 0x9000, 4, DIRECTION_IN))
    assert driver.transfer_events(slot, 1) == [(Completion.BABBLE, 4)]


def test_a_full_event_ring_holds_transfers_up() -> None:
    driver, slot = line()
    driver.events()
    for i in range(60):
        driver.queue(slot, OUT, data=bytes((i,)))
    assert len(driver.context.outputs) < 60
    seen = 0
    while found := driver.transfer_events(slot, OUT):
        seen += len(found)
    assert seen == len(driver.context.outputs) == 60


def test_pieces_of_a_device_that_answers_late_are_put_together() -> None:
    driver = Driver()
    slot = driver.attach(Plugged(1, Kind.HOST, HostDescription(3, b"", b"")))
    driver.configure(slot, {3: (EndpointKind.BULK_IN, 512)})
    for _ in range(3):
        driver.rings[slot, 3].put(0x20000, 0x10000, TrbType.NORMAL << 10 | CHAIN | ISP)
    driver.rings[slot, 3].put(0x90000, 64, TrbType.NORMAL << 10 | IOC | ISP)
    driver.ring(slot, 3)
    for tag, size in ((1, 0x20000), (2, 0x10000 + 10)):
        assert len(driver.context.outputs) == tag
        driver.say(1, struct.pack("<IiI", tag, 0, size) + bytes((tag,)) * size)
    assert driver.transfer_events(slot, 3) == [(SHORT, 54)]
    assert driver.read(0x90000, 12) == b"\2" * 10 + b"\0\0"


def test_doorbells_for_what_is_not_there_are_ignored() -> None:
    driver, slot = line()
    driver.events()
    for where, number in ((slot, 0), (slot, 7), (slot, 31), (9, 1), (r.MAX_SLOTS, 1)):
        driver.store(r.DOORBELLS + 4 * where, number)
    driver.store(r.DOORBELLS, 5)
    assert driver.events() == []


def test_a_toggling_link_in_the_middle_of_a_transfer_is_part_of_it() -> None:
    driver, slot = line()
    ring = driver.rings[slot, OUT]
    while ring.index < ring.size - 2:
        driver.queue(slot, OUT, data=b".")
        driver.events()
    driver.context.outputs.clear()
    driver.queue(slot, OUT, 1, 1, 1, data=b"xyz")
    assert driver.context.outputs == [b"\1xyz"]
    assert driver.memory[ring.base + 16 * (ring.size - 1) + 12] & TOGGLE_CYCLE
