"""A device from outside: each transfer is submitted, waits, and ends as its completion says."""

from __future__ import annotations

import errno
import struct

import pytest

from devices.usb import registers as r
from devices.usb.contexts import EndpointKind
from devices.usb.messages import (
    HostCompletion,
    HostDescription,
    HostSpeed,
    HostSubmit,
    HostUnlink,
    Kind,
    Plugged,
    decode_host_request,
    encode_host_completion,
)
from devices.usb.transfers import SILENCE
from devices.usb.trb import Completion, TrbType
from tests.harness.xhci_driver import Driver, port_register

IN, OUT = 3, 4
ENDPOINTS = {IN: (EndpointKind.BULK_IN, 512), OUT: (EndpointKind.BULK_OUT, 512)}
PORT = 2
DESCRIPTION = HostDescription(HostSpeed.HIGH, bytes(18), bytes(9))


def guest() -> tuple[Driver, int]:
    """A device at port 2, its endpoints configured."""
    driver = Driver()
    slot = driver.attach(Plugged(PORT, Kind.HOST, DESCRIPTION))
    assert driver.configure(slot, ENDPOINTS).code is Completion.SUCCESS
    driver.events()
    return driver, slot


def asked(driver: Driver) -> list[HostSubmit | HostUnlink]:
    """What the backend has been asked since the last look."""
    found = [decode_host_request(data) for data in driver.context.outputs]
    driver.context.outputs.clear()
    return found


def complete(driver: Driver, tag: int, data: bytes = b"", status: int = 0, actual: int | None = None) -> None:
    """A transfer has ended."""
    completion = HostCompletion(tag, status, len(data) if actual is None else actual, data)
    driver.say(PORT, encode_host_completion(completion))


def test_a_request_goes_out_and_its_reply_comes_back() -> None:
    driver, slot = guest()
    setup = bytes.fromhex("8006000100001200")
    buffer = driver.queue_control(slot, setup)
    (submit,) = asked(driver)
    assert submit == HostSubmit(1, 0, True, setup, 18, b"")
    assert driver.events() == []
    complete(driver, 1, b"\x12\x01" + bytes(16))
    assert driver.transfer_events(slot, 1) == [(Completion.SUCCESS, 0)]
    assert driver.read(buffer, 2) == b"\x12\x01"


def test_a_request_with_data_out_goes_with_it_and_one_without_too() -> None:
    driver, slot = guest()
    driver.queue_control(slot, bytes.fromhex("2120000000000700"), b"1234567")
    driver.queue_control(slot, bytes.fromhex("0009010000000000"))
    (submit,) = asked(driver)
    assert isinstance(submit, HostSubmit)
    assert (submit.inbound, submit.length, submit.data) == (False, 7, b"1234567")
    complete(driver, submit.tag, actual=7)
    (second,) = asked(driver)
    assert isinstance(second, HostSubmit)
    assert second.setup == bytes.fromhex("0009010000000000")
    complete(driver, second.tag)
    assert driver.transfer_events(slot, 1) == [(Completion.SUCCESS, 0)] * 2


def test_setting_the_address_is_the_buss_own() -> None:
    driver, slot = guest()
    assert driver.control(slot, 0, 5, 3)[0] is Completion.STALL
    assert asked(driver) == []


def test_bulk_both_ways_at_the_same_time() -> None:
    driver, slot = guest()
    buffer = driver.queue(slot, IN, 64)
    driver.queue(slot, OUT, data=b"ping")
    first, second = asked(driver)
    assert first == HostSubmit(1, 1, True, length=64)
    assert second == HostSubmit(2, 2, False, length=4, data=b"ping")
    complete(driver, 2, actual=4)
    complete(driver, 1, b"pong")
    events = [(e.endpoint, e.code, e.length) for e in driver.events() if e.type is TrbType.TRANSFER_EVENT]
    assert events == [(OUT, Completion.SUCCESS, 0), (IN, Completion.SHORT_PACKET, 60)]
    assert driver.read(buffer, 4) == b"pong"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (-errno.EPIPE, Completion.STALL),
        (-errno.EOVERFLOW, Completion.BABBLE),
        (-errno.EPROTO, Completion.TRANSACTION_ERROR),
        (-errno.ESHUTDOWN, Completion.TRANSACTION_ERROR),
        (77, Completion.TRANSACTION_ERROR),
    ],
)
def test_a_failure_is_the_transfers(status: int, code: Completion) -> None:
    driver, slot = guest()
    driver.queue(slot, IN, 64)
    complete(driver, 1, b"", status)
    assert driver.transfer_events(slot, IN) == [(code, 64)]
    driver.restart(slot, IN)
    driver.queue(slot, IN, 64)
    assert len(asked(driver)) == 2


def test_less_than_asked_for_is_no_failure() -> None:
    driver, slot = guest()
    driver.queue(slot, IN, 64)
    complete(driver, 1, b"abc", -errno.EREMOTEIO)
    assert driver.transfer_events(slot, IN) == [(Completion.SHORT_PACKET, 61)]


def test_a_lying_backend_harms_its_own_transfer_alone() -> None:
    driver, slot = guest()
    driver.queue(slot, IN, 4)
    for tag in (0, 2, 99):
        complete(driver, tag, b"????")
    driver.say(PORT, b"\1\0\0")
    assert driver.events() == []
    complete(driver, 1, b"too long")
    assert driver.transfer_events(slot, IN) == [(Completion.BABBLE, 4)]
    driver.queue(slot, OUT, data=b"12345678")
    complete(driver, 2, actual=3)
    assert driver.transfer_events(slot, OUT) == [(Completion.TRANSACTION_ERROR, 8)]


def test_a_backend_that_refuses_fails_the_transfer() -> None:
    driver, slot = guest()
    driver.context.broken = True
    driver.queue(slot, IN, 4)
    assert driver.transfer_events(slot, IN) == [(Completion.TRANSACTION_ERROR, 4)]


def test_stopping_unlinks_and_starting_submits_anew() -> None:
    driver, slot = guest()
    driver.queue(slot, IN, 64)
    assert driver.command(TrbType.STOP_ENDPOINT, 0, slot << 24 | IN << 16).code is Completion.SUCCESS
    assert asked(driver)[1:] == [HostUnlink(1)]
    complete(driver, 1, b"late")
    driver.ring(slot, IN)
    assert asked(driver) == [HostSubmit(2, 1, True, length=64)]
    complete(driver, 2, b"new")
    assert driver.transfer_events(slot, IN) == [(Completion.SHORT_PACKET, 61)]


@pytest.mark.parametrize("how", ["port", "controller", "disable", "device", "request"])
def test_resets_unlink_what_is_under_way(how: str) -> None:
    driver, slot = guest()
    driver.queue_control(slot, bytes.fromhex("8006000100001200"))
    asked(driver)
    match how:
        case "port":
            driver.store(port_register(PORT), r.PORT_POWERED | r.PORT_RESET)
        case "controller":
            driver.store(r.USB_COMMAND, r.CMD_RESET)
        case "disable":
            driver.command(TrbType.DISABLE_SLOT, 0, slot << 24)
        case "device":
            driver.command(TrbType.RESET_DEVICE, 0, slot << 24)
        case _:
            driver.withdraw(slot, 1)
            driver.queue_control(slot, bytes.fromhex("8006000200001200"))
    assert HostUnlink(1) in asked(driver)


def test_pulled_out_nothing_is_unlinked_and_what_waits_fails() -> None:
    driver, slot = guest()
    driver.queue(slot, IN, 64)
    asked(driver)
    driver.unplug(PORT)
    assert asked(driver) == []
    driver.expire(SILENCE)
    assert driver.transfer_events(slot, IN) == [(Completion.TRANSACTION_ERROR, 64)]
    assert struct.unpack_from("<I", driver.device_context(slot, IN))[0] & 7 == 2
