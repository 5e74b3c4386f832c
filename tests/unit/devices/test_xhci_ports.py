"""The root hub's ports: connecting, resetting, suspending, waking, pulling out."""

from __future__ import annotations

import struct

import pytest

from devices.usb import registers as r
from devices.usb.contexts import EndpointKind
from devices.usb.messages import HostDescription, HostSpeed, Kind, Plugged, StorageDescription
from devices.usb.transfers import SILENCE
from devices.usb.trb import Completion, TrbType
from tests.harness.xhci_driver import Driver, port_register

DISK = Plugged(3, Kind.STORAGE, StorageDescription(1 << 20))
KEYBOARD = Plugged(1, Kind.KEYBOARD)
KEY_A = struct.pack("<HHiHHi", 1, 30, 1, 0, 0, 0)
POWERED = r.PORT_POWERED


def link(driver: Driver, port: int) -> int:
    """PORTSC.PLS."""
    return driver.load(port_register(port)) >> r.PORT_LINK_SHIFT & 0xF


def set_link(driver: Driver, port: int, state: int) -> None:
    """Store PORTSC.PLS."""
    driver.store(port_register(port), POWERED | r.PORT_LINK_STROBE | state << r.PORT_LINK_SHIFT)


def port_events(driver: Driver) -> list[int]:
    """The ports that events tell of."""
    return [event.pointer >> 24 for event in driver.events() if event.type is TrbType.PORT_STATUS_CHANGE]


@pytest.mark.parametrize(
    ("message", "port", "speed"),
    [
        (KEYBOARD, 1, r.SPEED_LOW),
        (Plugged(2, Kind.SERIAL), 2, r.SPEED_HIGH),
        (DISK, 11, r.SPEED_SUPER),
        (Plugged(8, Kind.HOST, HostDescription(HostSpeed.FULL, b"", b"")), 8, r.SPEED_FULL),
        (Plugged(8, Kind.HOST, HostDescription(HostSpeed.SUPER_PLUS, b"", b"")), 16, r.SPEED_SUPER),
    ],
)
def test_a_device_appears_at_the_port_of_its_speed(message: Plugged, port: int, speed: int) -> None:
    driver = Driver()
    driver.plug(message)
    assert port_events(driver) == [port]
    for number in range(1, r.MAX_PORTS + 1):
        status = driver.load(port_register(number))
        assert bool(status & r.PORT_CONNECTED) == (number == port)
        assert bool(status & r.PORT_CONNECT_CHANGE) == (number == port)
    assert driver.load(port_register(port)) >> r.PORT_SPEED_SHIFT & 0xF == speed


def test_a_usb_2_port_is_enabled_by_its_reset() -> None:
    driver = Driver()
    driver.plug(KEYBOARD)
    status = driver.load(port_register(1))
    assert not status & r.PORT_ENABLED
    assert link(driver, 1) == r.LINK_POLLING
    driver.store(port_register(1), POWERED | r.PORT_CONNECT_CHANGE)
    port_events(driver)
    driver.store(port_register(1), POWERED | r.PORT_RESET)
    status = driver.load(port_register(1))
    assert status & (r.PORT_ENABLED | r.PORT_RESET | r.PORT_CHANGES) == r.PORT_ENABLED | r.PORT_RESET_CHANGE
    assert link(driver, 1) == r.LINK_U0
    assert port_events(driver) == [1]


def test_a_superspeed_port_enables_itself_and_knows_a_warm_reset() -> None:
    driver = Driver()
    driver.plug(DISK)
    assert driver.load(port_register(11)) & r.PORT_ENABLED
    assert link(driver, 11) == r.LINK_U0
    driver.store(port_register(11), POWERED | r.PORT_WARM_RESET)
    assert driver.load(port_register(11)) & r.PORT_CHANGES == (
        r.PORT_CONNECT_CHANGE | r.PORT_RESET_CHANGE | r.PORT_WARM_RESET_CHANGE
    )


def test_a_change_is_told_once_until_all_changes_are_acknowledged() -> None:
    driver = Driver()
    driver.plug(KEYBOARD)
    driver.unplug(1)
    driver.plug(KEYBOARD)
    assert port_events(driver) == [1]
    driver.store(port_register(1), POWERED | r.PORT_CHANGES)
    assert not driver.load(port_register(1)) & r.PORT_CHANGES
    driver.unplug(1)
    assert port_events(driver) == [1]


def test_an_empty_port_cannot_be_reset_nor_suspended() -> None:
    driver = Driver()
    before = driver.load(port_register(4))
    driver.store(port_register(4), POWERED | r.PORT_RESET)
    set_link(driver, 4, r.LINK_U3)
    driver.store(port_register(12), POWERED | r.PORT_WARM_RESET)
    assert driver.load(port_register(4)) == before
    assert port_events(driver) == []


def test_storing_enabled_disables() -> None:
    driver = Driver()
    driver.attach(KEYBOARD)
    driver.store(port_register(1), POWERED | r.PORT_ENABLED)
    assert driver.load(port_register(1)) & (r.PORT_ENABLED | r.PORT_CONNECTED) == r.PORT_CONNECTED


def test_a_superspeed_link_is_switched_off_and_on() -> None:
    driver = Driver()
    driver.plug(DISK)
    set_link(driver, 11, r.LINK_DISABLED)
    assert (link(driver, 11), driver.load(port_register(11)) & r.PORT_ENABLED) == (r.LINK_DISABLED, 0)
    set_link(driver, 11, r.LINK_RX_DETECT)
    assert (link(driver, 11), driver.load(port_register(11)) & r.PORT_ENABLED) == (r.LINK_U0, r.PORT_ENABLED)


def test_wake_and_power_bits_keep_what_is_stored() -> None:
    driver = Driver()
    driver.store(port_register(1), POWERED | r.PORT_KEPT)
    assert driver.load(port_register(1)) & r.PORT_KEPT == r.PORT_KEPT
    driver.store(port_register(1), POWERED)
    assert driver.load(port_register(1)) & r.PORT_KEPT == 0
    for register, stored, kept in ((r.PORT_POWER, 0xFFFF, 0xFFFF), (r.PORT_LINK, 0xFF, 0), (r.PORT_LPM, 7, 7)):
        driver.store(port_register(1) + register, stored)
        assert driver.load(port_register(1) + register) == kept


def configured_keyboard() -> tuple[Driver, int]:
    """A keyboard whose reports are awaited."""
    driver = Driver()
    slot = driver.attach(KEYBOARD)
    assert driver.control(slot, 0, 9, 1)[0] is Completion.SUCCESS
    driver.configure(slot, {3: (EndpointKind.INTERRUPT_IN, 8)})
    driver.queue(slot, 3, 8)
    return driver, slot


def test_a_suspended_port_moves_nothing_until_it_is_resumed() -> None:
    driver, slot = configured_keyboard()
    set_link(driver, 1, r.LINK_U3)
    driver.say(1, KEY_A)
    assert driver.events() == []
    assert link(driver, 1) == r.LINK_U3, "nobody has allowed it to wake the host"
    set_link(driver, 1, r.LINK_RESUME)
    assert link(driver, 1) == r.LINK_RESUME
    set_link(driver, 1, r.LINK_U0)
    assert [event.type for event in driver.events()] == [TrbType.PORT_STATUS_CHANGE, TrbType.TRANSFER_EVENT]
    assert driver.load(port_register(1)) & r.PORT_LINK_CHANGE
    assert driver.transfer_events(slot, 3) == []


def test_a_key_wakes_a_port_whose_keyboard_may() -> None:
    driver, _ = configured_keyboard()
    assert driver.control(1, 0, 3, 1)[0] is Completion.SUCCESS
    set_link(driver, 1, r.LINK_U3)
    driver.say(1, KEY_A)
    assert link(driver, 1) == r.LINK_RESUME
    assert port_events(driver) == [1]
    set_link(driver, 1, r.LINK_U0)
    assert TrbType.TRANSFER_EVENT in [event.type for event in driver.events()]


def test_what_waits_at_a_device_that_is_pulled_out_ends_in_a_transaction_error() -> None:
    driver, slot = configured_keyboard()
    driver.unplug(1)
    assert driver.load(port_register(1)) & (r.PORT_CONNECTED | r.PORT_ENABLED) == 0
    assert driver.transfer_events(slot, 3) == []
    driver.expire(SILENCE)
    assert driver.transfer_events(slot, 3) == [(Completion.TRANSACTION_ERROR, 8)]
    driver.queue_control(slot, bytes.fromhex("8006000100001200"))
    driver.expire(SILENCE)
    assert driver.transfer_events(slot, 1)[-1][0] is Completion.TRANSACTION_ERROR


def test_a_device_whose_port_was_reset_answers_to_a_new_address_alone() -> None:
    driver, slot = configured_keyboard()
    driver.store(port_register(1), POWERED | r.PORT_RESET)
    driver.expire(SILENCE)
    assert driver.transfer_events(slot, 3) == [(Completion.TRANSACTION_ERROR, 8)]
    assert driver.command(TrbType.RESET_DEVICE, control=slot << 24).code is Completion.SUCCESS
    assert driver.control(slot, 0x80, 6, 0x100, 0, 18)[0] is Completion.SUCCESS
    assert driver.address(slot, 1).code is Completion.SUCCESS
    assert driver.control(slot, 0x80, 8, length=1) == (Completion.SUCCESS, b"\0")


def test_what_comes_into_the_same_socket_is_not_the_old_slots() -> None:
    driver, slot = configured_keyboard()
    driver.unplug(1)
    driver.events()
    driver.plug(KEYBOARD)
    driver.store(port_register(1), POWERED | r.PORT_RESET)
    driver.events()
    driver.queue_control(slot, bytes.fromhex("8006000100001200"))
    driver.expire(SILENCE)
    assert driver.transfer_events(slot, 1)[-1][0] is Completion.TRANSACTION_ERROR
    other = driver.enable()
    assert driver.address(other, 1).code is Completion.SUCCESS
    assert driver.control(other, 0x80, 6, 0x100, 0, 18)[0] is Completion.SUCCESS


def test_a_second_device_in_one_socket_replaces_the_first() -> None:
    driver, slot = configured_keyboard()
    driver.plug(Plugged(1, Kind.SERIAL))
    assert driver.load(port_register(1)) >> r.PORT_SPEED_SHIFT & 0xF == r.SPEED_HIGH
    driver.expire(SILENCE)
    assert driver.transfer_events(slot, 3) == [(Completion.TRANSACTION_ERROR, 8)]
    assert driver.model.state.sockets[0].keyboard == ()
