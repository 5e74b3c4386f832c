"""The serial adapter: bytes both ways, line coding, modem lines, carrier and breaks."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.usb.contexts import EndpointKind
from devices.usb.functions.serial import RECEIVE_ROOM
from devices.usb.messages import Kind, Plugged, What
from devices.usb.trb import Completion
from tests.harness.xhci_driver import Driver

NOTICE, OUT, IN = 3, 4, 5
ENDPOINTS = {
    NOTICE: (EndpointKind.INTERRUPT_IN, 16),
    OUT: (EndpointKind.BULK_OUT, 512),
    IN: (EndpointKind.BULK_IN, 512),
}
SUCCESS = Completion.SUCCESS
CARRIER, BREAK = 3, 4


def line(*, configured: bool = True) -> tuple[Driver, int]:
    """A serial adapter at port 1."""
    driver = Driver()
    slot = driver.attach(Plugged(1, Kind.SERIAL))
    if configured:
        assert driver.control(slot, 0, 9, 1)[0] is SUCCESS
    driver.configure(slot, ENDPOINTS)
    return driver, slot


def notices(driver: Driver, slot: int) -> list[int]:
    """Every notification of the line's state."""
    found: list[int] = []
    while True:
        buffer = driver.queue(slot, NOTICE, 16)
        if not driver.transfer_events(slot, NOTICE):
            driver.withdraw(slot, NOTICE)
            return found
        head, bits = struct.unpack("<8sH", driver.read(buffer, 10))
        assert head == bytes.fromhex("a120000000000200")
        found.append(bits)


def received(driver: Driver, slot: int, size: int = 512) -> bytes:
    """Everything that has come in, in transfers of that size."""
    found = b""
    while True:
        buffer = driver.queue(slot, IN, size)
        events = driver.transfer_events(slot, IN)
        if not events:
            driver.withdraw(slot, IN)
            return found
        found += driver.read(buffer, size - events[-1][1])


def test_the_descriptors_are_those_of_an_abstract_control_model() -> None:
    driver, slot = line()
    _, device = driver.control(slot, 0x80, 6, 0x100, 0, 18)
    assert device[4] == 2
    _, data = driver.control(slot, 0x80, 6, 0x200, 0, 255)
    assert struct.unpack_from("<H", data, 2) == (len(data),)
    at, kinds = 0, []
    while at < len(data):
        kinds.append(data[at + 1])
        at += data[at]
    assert kinds == [2, 4, 0x24, 0x24, 0x24, 0x24, 5, 4, 5, 5]
    assert driver.control(slot, 0x80, 6, 0x600, 0, 10)[0] is SUCCESS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=700), max_size=8), st.sampled_from([1, 13, 512, 1024]))
def test_what_comes_in_is_fetched_whole_and_in_order(pieces: list[bytes], size: int) -> None:
    driver, slot = line()
    for piece in pieces:
        driver.say(1, piece)
    wanted = b"".join(pieces)[: 200 if size == 1 else None]
    assert received(driver, slot, size)[: len(wanted)] == wanted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=700), max_size=8), st.integers(2, 300))
def test_what_goes_out_comes_whole_and_in_order_however_little_is_taken(pieces: list[bytes], takes: int) -> None:
    driver, slot = line()
    driver.context.takes = takes
    for piece in pieces:
        driver.queue(slot, OUT, data=piece)
    ended = len(driver.transfer_events(slot, OUT))
    while ended < len(pieces):
        driver.context.takes = takes
        driver.say(1, b"", What.WRITABLE)
        ended += len(driver.transfer_events(slot, OUT))
    assert b"".join(data[1:] for data in driver.context.outputs) == b"".join(pieces)


def test_room_is_what_is_not_fetched_yet() -> None:
    driver, slot = line()
    assert driver.model.input_room() == RECEIVE_ROOM
    driver.say(1, bytes(1000))
    assert driver.model.input_room() == RECEIVE_ROOM - 1000
    received(driver, slot)
    assert driver.model.input_room() == RECEIVE_ROOM


def test_a_line_with_nobody_at_the_other_end_loses_what_is_sent() -> None:
    driver, slot = line()
    driver.context.broken = True
    driver.queue(slot, OUT, data=b"gone")
    assert driver.transfer_events(slot, OUT) == [(SUCCESS, 0)]
    assert driver.model.state.sockets[0].serial[0].dropped == 4


def test_line_coding_is_kept() -> None:
    driver, slot = line()
    assert driver.control(slot, 0xA1, 0x21, 0, 0, 7) == (SUCCESS, bytes.fromhex("00c20100000008"))
    coding = bytes.fromhex("80250000020107")
    assert driver.control(slot, 0x21, 0x20, 0, 0, data=coding)[0] is SUCCESS
    assert driver.control(slot, 0xA1, 0x21, 0, 0, 7) == (SUCCESS, coding)
    assert driver.control(slot, 0x21, 0x20, 0, 0, data=coding[:3])[0] is Completion.STALL


def test_control_lines_and_breaks_are_taken() -> None:
    driver, slot = line()
    assert driver.control(slot, 0x21, 0x22, 3)[0] is SUCCESS
    assert driver.model.state.sockets[0].serial[0].control_lines == 3
    assert driver.control(slot, 0x21, 0x23, 100)[0] is SUCCESS
    assert driver.control(slot, 0x21, 0x99)[0] is Completion.STALL
    assert driver.control(slot, 0x21, 0x22, 0, 1)[0] is Completion.STALL


def test_the_carrier_is_told_when_it_changes() -> None:
    driver, slot = line()
    assert notices(driver, slot) == [CARRIER]
    driver.say(1, b"", What.CARRIER_ON)
    driver.say(1, b"", What.CARRIER_OFF)
    driver.say(1, b"", What.BREAK)
    driver.say(1, b"", What.CARRIER_ON)
    assert notices(driver, slot) == [0, BREAK, CARRIER]


def test_notices_nobody_fetches_are_forgotten_from_the_oldest() -> None:
    driver, slot = line()
    for _ in range(20):
        driver.say(1, b"", What.CARRIER_OFF)
        driver.say(1, b"", What.CARRIER_ON)
    assert notices(driver, slot) == [0, CARRIER] * 8


def test_what_comes_in_before_the_guest_is_ready_waits_for_it() -> None:
    driver, slot = line(configured=False)
    driver.say(1, b"early")
    driver.say(1, b"", What.CARRIER_OFF)
    assert driver.control(slot, 0, 9, 1)[0] is SUCCESS
    assert received(driver, slot) == b"early"
    assert notices(driver, slot) == []


@pytest.mark.parametrize("number", [NOTICE, OUT, IN])
def test_an_endpoint_of_a_device_that_is_not_configured_stalls(number: int) -> None:
    driver, slot = line(configured=False)
    driver.queue(slot, number, 16)
    assert driver.transfer_events(slot, number)[0][0] is Completion.STALL


def test_chapter_9_by_the_book() -> None:
    driver, slot = line()
    ask = driver.control
    assert ask(slot, 0x80, 0, 0, 0, 2) == (SUCCESS, b"\0\0")
    assert ask(slot, 0x81, 0, 0, 1, 2) == (SUCCESS, b"\0\0")
    assert ask(slot, 0x82, 0, 0, 0x82, 2) == (SUCCESS, b"\0\0")
    assert ask(slot, 0x02, 3, 0, 0x82)[0] is SUCCESS
    assert ask(slot, 0x82, 0, 0, 0x82, 2) == (SUCCESS, b"\1\0")
    assert ask(slot, 0x01, 11, 0, 1)[0] is SUCCESS
    assert ask(slot, 0x82, 0, 0, 0x82, 2) == (SUCCESS, b"\0\0")
    assert ask(slot, 0x81, 10, 0, 1, 1) == (SUCCESS, b"\0")
    assert ask(slot, 0x80, 6, 0x300, 0, 255) == (SUCCESS, b"\4\3\x09\x04")
    assert ask(slot, 0x00, 3, 1)[0] is SUCCESS
    assert ask(slot, 0x80, 0, 0, 0, 2) == (SUCCESS, b"\2\0")
    assert ask(slot, 0x00, 1, 1)[0] is SUCCESS
    assert ask(slot, 0x00, 48, 0, 0, data=bytes(6))[0] is SUCCESS
    refused = [
        (0x80, 6, 0x305, 0x409, 255),
        (0x80, 6, 0x201, 0, 255),
        (0x80, 6, 0x0700, 0, 255),
        (0x81, 0, 0, 2, 2),
        (0x82, 0, 0, 0x85, 2),
        (0x01, 11, 1, 0, 0),
        (0x00, 9, 2, 0, 0),
        (0x00, 5, 3, 0, 0),
        (0x00, 3, 2, 0, 0),
        (0x03, 0, 0, 0, 0),
        (0x40, 1, 0, 0, 0),
    ]
    for row in refused:
        assert ask(slot, *row)[0] is Completion.STALL, row
    assert ask(slot, 0x00, 9, 0)[0] is SUCCESS
    assert ask(slot, 0x80, 8, 0, 0, 1) == (SUCCESS, b"\0")
    assert ask(slot, 0x81, 10, 0, 1, 1)[0] is Completion.STALL
