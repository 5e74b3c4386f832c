"""Keyboard and mouse: descriptors a driver can believe, reports for events, the requests of their class."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.usb.contexts import EndpointKind
from devices.usb.functions.base import FIRST_FUNCTION_TIMER
from devices.usb.functions.keyboard import QUEUE_BYTES, ROOM
from devices.usb.functions.usages import FIRST_MODIFIER, USAGES
from devices.usb.messages import Kind, Plugged
from devices.usb.trb import Completion
from machine.input_events import BTN_LEFT as LEFT
from machine.input_events import BTN_MIDDLE as MIDDLE
from machine.input_events import EV_KEY as KEY
from machine.input_events import EV_REL as REL
from machine.input_events import Event, pack_group
from tests.harness.xhci_driver import Driver

INTERVAL_NS = 10_000_000
TIMER = FIRST_FUNCTION_TIMER + 1
Row = tuple[int, int, int]


def plugged(kind: Kind, *, configured: bool = True) -> tuple[Driver, int]:
    """A keyboard or mouse at port 1."""
    driver = Driver()
    slot = driver.attach(Plugged(1, kind))
    if configured:
        assert driver.control(slot, 0, 9, 1)[0] is Completion.SUCCESS
    driver.configure(slot, {3: (EndpointKind.INTERRUPT_IN, 8)})
    return driver, slot


def say(driver: Driver, *rows: Row) -> None:
    """Input events and the end of their group."""
    driver.say(1, pack_group(Event(*row) for row in rows))


def fetch(driver: Driver, slot: int) -> list[bytes]:
    """Every report there is."""
    found: list[bytes] = []
    while True:
        if driver.context.timers.get(TIMER) == INTERVAL_NS:
            driver.expire(TIMER)
        buffer = driver.queue(slot, 3, 8)
        events = driver.transfer_events(slot, 3)
        if not events:
            driver.withdraw(slot, 3)
            return found
        ((code, left),) = events
        assert code in (Completion.SUCCESS, Completion.SHORT_PACKET)
        found.append(driver.read(buffer, 8 - left))


@pytest.mark.parametrize("kind", [Kind.KEYBOARD, Kind.MOUSE])
def test_the_descriptors_hang_together(kind: Kind) -> None:
    driver, slot = plugged(kind)
    _, device = driver.control(slot, 0x80, 6, 0x100, 0, 18)
    assert (device[0], device[1], device[17]) == (18, 1, 1)
    _, configuration = driver.control(slot, 0x80, 6, 0x200, 0, 255)
    assert struct.unpack_from("<H", configuration, 2) == (len(configuration),)
    parts, at = [], 0
    while at < len(configuration):
        parts.append(configuration[at : at + configuration[at]])
        at += configuration[at]
    assert [part[1] for part in parts] == [2, 4, 0x21, 5]
    (_, interface, hid, endpoint) = parts
    assert interface[5:8] == bytes((3, 1, kind))
    _, report = driver.control(slot, 0x81, 6, 0x2200, 0, 255)
    assert struct.unpack_from("<H", hid, 7) == (len(report),)
    assert driver.control(slot, 0x81, 6, 0x2100, 0, 255)[1] == hid
    assert endpoint[2] == 0x81
    for index in (device[14], device[15], device[16]):
        _, text = driver.control(slot, 0x80, 6, 0x300 | index, 0x409, 255)
        assert text[0] == len(text) > 2
        assert text[2:].decode("utf-16-le").isprintable()


def test_each_key_down_and_up_is_a_report() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    say(driver, (KEY, 42, 1), (KEY, 30, 1))
    say(driver, (KEY, 30, 2), (KEY, 30, 1))
    say(driver, (KEY, 30, 0), (KEY, 42, 0), (KEY, 42, 0))
    shift, nothing = b"\2" + bytes(7), bytes(8)
    assert fetch(driver, slot) == [shift, b"\2\0\4" + bytes(5), shift, nothing]


def test_a_report_waits_for_a_key() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    buffer = driver.queue(slot, 3, 8)
    assert driver.transfer_events(slot, 3) == []
    say(driver, (KEY, 28, 1))
    assert driver.transfer_events(slot, 3) == [(Completion.SUCCESS, 0)]
    assert driver.read(buffer, 8) == b"\0\0\x28" + bytes(5)


def test_reports_come_no_faster_than_the_interval() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    say(driver, (KEY, 30, 1), (KEY, 30, 0))
    driver.queue(slot, 3, 8)
    driver.queue(slot, 3, 8)
    assert len(driver.transfer_events(slot, 3)) == 1
    assert driver.context.timers == {TIMER: INTERVAL_NS}
    driver.expire(TIMER)
    assert len(driver.transfer_events(slot, 3)) == 1


def test_more_keys_than_a_report_holds_roll_over_and_come_back() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    for code in (30, 48, 46, 32, 18, 33, 34):
        say(driver, (KEY, code, 1))
    say(driver, (KEY, 30, 0))
    *_, six, seven, back = fetch(driver, slot)
    assert six == b"\0\0\4\5\6\7\x08\x09"
    assert seven == b"\0\0" + b"\1" * 6
    assert back == b"\0\0\5\6\7\x08\x09\x0a"


def test_keys_without_a_usage_are_nothing() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    say(driver, (KEY, 0, 1), (KEY, 240, 1), (KEY, 0x110, 1), (REL, 0, 5), (4, 4, 30))
    assert fetch(driver, slot) == []


def test_every_usage_is_one_keys_and_modifiers_are_bits() -> None:
    assert len(set(USAGES.values())) == len(USAGES)
    assert [code for code, usage in USAGES.items() if usage >= FIRST_MODIFIER] == [29, 42, 56, 125, 97, 54, 100, 126]
    assert [USAGES[code] for code in (30, 44, 2, 11, 28, 57, 59, 88, 105, 96, 183, 116)] == [
        4, 29, 30, 39, 40, 44, 58, 69, 80, 88, 104, 102,
    ]  # fmt: skip


def test_what_is_typed_before_the_keyboard_is_configured_is_lost_but_for_what_is_still_down() -> None:
    driver, slot = plugged(Kind.KEYBOARD, configured=False)
    say(driver, (KEY, 30, 1), (KEY, 30, 0), (KEY, 48, 1))
    driver.control(slot, 0, 9, 1)
    assert fetch(driver, slot) == [b"\0\0\5" + bytes(5)]


def test_a_host_that_does_not_fetch_sees_the_last_state() -> None:
    driver, _ = plugged(Kind.KEYBOARD)
    assert driver.model.input_room() == ROOM
    for _ in range(QUEUE_BYTES // 8):
        say(driver, (KEY, 30, 1), (KEY, 30, 0))
    say(driver, (KEY, 48, 1))
    assert driver.model.input_room() == ROOM
    (keyboard,) = driver.model.state.sockets[0].keyboard
    assert len(keyboard.queue) == QUEUE_BYTES
    assert keyboard.queue[-8:] == b"\0\0\5" + bytes(5)


def test_a_host_that_fetches_is_not_overrun() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    assert fetch(driver, slot) == []
    driver.queue(slot, 3, 8)
    room = driver.model.input_room()
    for _ in range(4):
        say(driver, (KEY, 30, 1))
        say(driver, (KEY, 30, 0))
    assert driver.model.input_room() == room - 7 * 16
    say(driver, *[(KEY, 30, value) for value in (1, 0)] * 100)
    assert driver.model.input_room() == 0
    driver.withdraw(slot, 3)
    assert driver.model.input_room() == ROOM


def test_leds_reach_the_backend() -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    assert driver.control(slot, 0x21, 9, 0x200, 0, data=b"\x02")[0] is Completion.SUCCESS
    assert driver.context.outputs == [b"\1\2"]
    assert driver.control(slot, 0x21, 9, 0x100, 0, data=b"\x02")[0] is Completion.STALL


@pytest.mark.parametrize(("kind", "report"), [(Kind.KEYBOARD, bytes(8)), (Kind.MOUSE, bytes(4))])
def test_the_requests_of_the_class(kind: Kind, report: bytes) -> None:
    driver, slot = plugged(kind)
    success = Completion.SUCCESS
    assert driver.control(slot, 0xA1, 1, 0x100, 0, 64) == (success, report)
    assert driver.control(slot, 0xA1, 3, 0, 0, 1) == (success, b"\1")
    assert driver.control(slot, 0x21, 11, 0) == (success, b"")
    assert driver.control(slot, 0xA1, 3, 0, 0, 1) == (success, b"\0")
    assert driver.control(slot, 0x21, 10, 0x1900) == (success, b"")
    assert driver.control(slot, 0xA1, 2, 0, 0, 1) == (success, b"\x19")
    for request, value in ((11, 2), (1, 0x100), (77, 0)):
        assert driver.control(slot, 0x21, request, value)[0] is Completion.STALL
    assert driver.control(slot, 0x21, 10, 0, index=1)[0] is Completion.STALL


@pytest.mark.parametrize("kind", [Kind.KEYBOARD, Kind.MOUSE])
def test_an_idle_period_repeats_the_report(kind: Kind) -> None:
    driver, slot = plugged(kind)
    driver.control(slot, 0x21, 10, 0x0200)
    driver.queue(slot, 3, 8)
    assert driver.context.timers == {TIMER: 8_000_000}
    driver.expire(TIMER)
    ((code, _),) = driver.transfer_events(slot, 3)
    assert code in (Completion.SUCCESS, Completion.SHORT_PACKET)
    driver.queue(slot, 3, 8)
    assert driver.context.timers == {TIMER: INTERVAL_NS}
    driver.expire(TIMER)
    assert driver.context.timers == {TIMER: 8_000_000}
    driver.unplug(1)
    assert TIMER not in driver.context.timers


def test_a_mouse_reports_what_happened_in_one_group_at_once() -> None:
    driver, slot = plugged(Kind.MOUSE)
    say(driver, (REL, 0, 5), (REL, 1, -3), (KEY, LEFT, 1), (REL, 8, 1))
    say(driver, (KEY, LEFT, 0), (KEY, MIDDLE, 1))
    say(driver)
    assert fetch(driver, slot) == [bytes((1, 5, 0xFD, 1)), bytes((4, 0, 0, 0))]


def test_a_far_movement_is_several_reports() -> None:
    driver, slot = plugged(Kind.MOUSE)
    say(driver, (REL, 0, 300), (REL, 1, -130))
    assert fetch(driver, slot) == [bytes((0, 127, 0x81, 0)), bytes((0, 127, 0xFD, 0)), bytes((0, 46, 0, 0))]


def test_the_boot_protocol_has_no_wheel() -> None:
    driver, slot = plugged(Kind.MOUSE)
    driver.control(slot, 0x21, 11, 0)
    say(driver, (REL, 8, 1), (REL, 0, 1))
    assert fetch(driver, slot) == [bytes((0, 1, 0))]
    assert driver.control(slot, 0xA1, 1, 0x100, 0, 64)[1] == bytes(3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-400, 400), st.integers(-400, 400)), max_size=200))
def test_no_movement_is_lost_however_late_it_is_fetched(moves: list[tuple[int, int]]) -> None:
    driver, slot = plugged(Kind.MOUSE)
    for dx, dy in moves:
        say(driver, (REL, 0, dx), (REL, 1, dy))
    reports = [struct.unpack("bbbb", report) for report in fetch(driver, slot)]
    far_end = [sum(report[axis] for report in reports) for axis in (1, 2)]
    kept = [sum(move[axis] for move in moves) for axis in (0, 1)]
    assert far_end == kept or len(moves) > 128


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([30, 48, 42, 97, 28, 1]), st.booleans()), max_size=60))
def test_the_last_report_says_which_keys_are_down(presses: list[tuple[int, bool]]) -> None:
    driver, slot = plugged(Kind.KEYBOARD)
    down: dict[int, None] = {}
    for code, pressed in presses:
        say(driver, (KEY, code, pressed))
        down.pop(code, None)
        if pressed:
            down[code] = None
    reports = fetch(driver, slot)
    last = reports[-1] if reports else bytes(8)
    keys = {USAGES[code] for code in down if USAGES[code] < FIRST_MODIFIER}
    assert set(last[2:]) - {0} == keys
    assert last[0] == sum(1 << USAGES[code] - FIRST_MODIFIER for code in down if USAGES[code] >= FIRST_MODIFIER)
