"""The command ring takes a slot from enabled to configured and back, and says what is wrong with a wrong command."""

from __future__ import annotations

import struct

import pytest

from devices.usb import registers as r
from devices.usb.contexts import EndpointKind, EndpointPhase, SlotPhase
from devices.usb.messages import Kind, Plugged, StorageDescription
from devices.usb.trb import Completion, TrbType
from tests.harness.xhci_driver import INPUT, Driver, port_register

DISK = Plugged(2, Kind.STORAGE, StorageDescription(1 << 20))
BULK = {3: (EndpointKind.BULK_IN, 1024), 4: (EndpointKind.BULK_OUT, 1024)}


def slot_phase(driver: Driver, slot: int) -> int:
    """Slot State in the output context."""
    return driver.device_context(slot)[15] >> 3


def endpoint_phase(driver: Driver, slot: int, number: int) -> int:
    """EP State in the output context."""
    return driver.device_context(slot, number)[0] & 7


def bare(driver: Driver) -> int:
    """An enabled slot for a keyboard that waits at port 1, its port reset."""
    driver.plug(Plugged(1, Kind.KEYBOARD))
    driver.store(port_register(1), r.PORT_POWERED | r.PORT_RESET)
    return driver.enable()


def addressed() -> tuple[Driver, int]:
    """A disk with an address."""
    driver = Driver()
    return driver, driver.attach(DISK)


def test_slots_are_given_out_until_there_are_no_more() -> None:
    driver = Driver(start=False)
    driver.start(slots=2)
    assert [driver.command(TrbType.ENABLE_SLOT).slot for _ in range(2)] == [1, 2]
    assert driver.command(TrbType.ENABLE_SLOT).code is Completion.NO_SLOTS
    assert driver.command(TrbType.DISABLE_SLOT, control=1 << 24).code is Completion.SUCCESS
    assert driver.command(TrbType.ENABLE_SLOT).slot == 1


def test_a_slots_life() -> None:
    driver = Driver()
    slot = bare(driver)
    assert driver.address(slot, 1, block=True).code is Completion.SUCCESS
    assert (slot_phase(driver, slot), driver.device_context(slot)[12]) == (SlotPhase.DEFAULT, 0)
    assert driver.address(slot, 1).code is Completion.SUCCESS
    assert (slot_phase(driver, slot), driver.device_context(slot)[12]) == (SlotPhase.ADDRESSED, slot)
    assert endpoint_phase(driver, slot, 1) == EndpointPhase.RUNNING
    assert driver.configure(slot, {3: (EndpointKind.INTERRUPT_IN, 8)}).code is Completion.SUCCESS
    assert slot_phase(driver, slot) == SlotPhase.CONFIGURED
    assert endpoint_phase(driver, slot, 3) == EndpointPhase.RUNNING
    assert driver.command(TrbType.RESET_DEVICE, control=slot << 24).code is Completion.SUCCESS
    assert slot_phase(driver, slot) == SlotPhase.DEFAULT
    assert endpoint_phase(driver, slot, 3) == EndpointPhase.DISABLED
    assert driver.device_context(slot)[3] >> 3 == 1
    assert driver.address(slot, 1).code is Completion.SUCCESS
    assert driver.command(TrbType.DISABLE_SLOT, control=slot << 24).code is Completion.SUCCESS
    assert slot_phase(driver, slot) == SlotPhase.DISABLED


def test_deconfiguring_drops_all_but_the_default_endpoint() -> None:
    driver, slot = addressed()
    driver.configure(slot, BULK)
    done = driver.command(TrbType.CONFIGURE_ENDPOINT, control=slot << 24 | 1 << 9)
    assert done.code is Completion.SUCCESS
    assert slot_phase(driver, slot) == SlotPhase.ADDRESSED
    assert [endpoint_phase(driver, slot, n) for n in (1, 3, 4)] == [EndpointPhase.RUNNING, 0, 0]


def test_endpoints_are_dropped_and_added_in_one_command() -> None:
    driver, slot = addressed()
    driver.configure(slot, BULK)
    driver.input_context(add=1 | 1 << 3, drop=1 << 3 | 1 << 4)
    driver.put_slot(1, 1, 3)
    driver.put_endpoint(slot, 3, EndpointKind.BULK_IN, 512)
    assert driver.command(TrbType.CONFIGURE_ENDPOINT, INPUT, slot << 24).code is Completion.SUCCESS
    assert [endpoint.number for endpoint in driver.model.state.slots[slot - 1].endpoints] == [1, 3]
    assert endpoint_phase(driver, slot, 4) == EndpointPhase.DISABLED


def test_evaluate_context_takes_the_packet_size_and_the_latency() -> None:
    driver, slot = addressed()
    driver.input_context(add=3)
    driver.put_context(0, struct.pack("<III", 0, 0x0102_1234, 5 << 22))
    driver.put_context(1, struct.pack("<II", 0, 8 << 16))
    assert driver.command(TrbType.EVALUATE_CONTEXT, INPUT, slot << 24).code is Completion.SUCCESS
    _, second, third, _ = struct.unpack("<IIII", driver.device_context(slot)[:16])
    assert (second & 0xFFFF, second >> 16 & 0xFF, third >> 22) == (0x1234, 2 + 8, 5)
    assert struct.unpack_from("<H", driver.device_context(slot, 1), 6) == (8,)


def test_an_endpoint_is_stopped_moved_and_goes_on() -> None:
    driver, slot = addressed()
    driver.configure(slot, BULK)
    where = slot << 24 | 3 << 16
    assert driver.command(TrbType.SET_DEQUEUE, 0x9001, where).code is Completion.CONTEXT_STATE_ERROR
    assert driver.command(TrbType.STOP_ENDPOINT, 0, where).code is Completion.SUCCESS
    assert endpoint_phase(driver, slot, 3) == EndpointPhase.STOPPED
    assert driver.command(TrbType.STOP_ENDPOINT, 0, where).code is Completion.CONTEXT_STATE_ERROR
    assert driver.command(TrbType.RESET_ENDPOINT, 0, where).code is Completion.CONTEXT_STATE_ERROR
    pointer = driver.rings[slot, 3].pointer + 0x20
    assert driver.command(TrbType.SET_DEQUEUE, pointer, where).code is Completion.SUCCESS
    assert struct.unpack_from("<Q", driver.device_context(slot, 3), 8) == (pointer,)
    driver.ring(slot, 3)
    assert endpoint_phase(driver, slot, 3) == EndpointPhase.RUNNING


@pytest.mark.parametrize(
    ("kind", "control", "code"),
    [
        (TrbType.DISABLE_SLOT, 9 << 24, Completion.SLOT_NOT_ENABLED),
        (TrbType.DISABLE_SLOT, 0, Completion.TRB_ERROR),
        (TrbType.DISABLE_SLOT, 200 << 24, Completion.TRB_ERROR),
        (TrbType.ADDRESS_DEVICE, 9 << 24, Completion.SLOT_NOT_ENABLED),
        (TrbType.STOP_ENDPOINT, 1 << 24, Completion.TRB_ERROR),
        (TrbType.STOP_ENDPOINT, 1 << 24 | 9 << 16, Completion.ENDPOINT_NOT_ENABLED),
        (TrbType.NORMAL, 1 << 24, Completion.TRB_ERROR),
        (TrbType.COMMAND_COMPLETION, 1 << 24, Completion.TRB_ERROR),
        (TrbType.NO_OP_COMMAND, 0, Completion.SUCCESS),
    ],
)
def test_a_command_for_what_is_not_there_is_refused(kind: TrbType, control: int, code: Completion) -> None:
    driver, slot = addressed()
    assert slot == 1
    assert driver.command(kind, 0, control).code is code


@pytest.mark.parametrize("kind", [TrbType.CONFIGURE_ENDPOINT, TrbType.EVALUATE_CONTEXT, TrbType.RESET_DEVICE])
def test_a_slot_without_an_address_cannot_be_configured(kind: TrbType) -> None:
    driver = Driver()
    slot = bare(driver)
    assert driver.command(kind, INPUT, slot << 24).code is Completion.CONTEXT_STATE_ERROR


def test_an_address_is_given_once() -> None:
    driver, slot = addressed()
    assert driver.address(slot, 10).code is Completion.CONTEXT_STATE_ERROR
    assert driver.address(slot, 10, block=True).code is Completion.CONTEXT_STATE_ERROR
    other = driver.enable()
    assert driver.address(other, 10).code is Completion.PARAMETER_ERROR


def test_nobody_answers_at_an_empty_or_disabled_port() -> None:
    driver = Driver()
    slot = driver.enable()
    assert driver.address(slot, 5).code is Completion.TRANSACTION_ERROR
    driver.plug(Plugged(5, Kind.KEYBOARD))
    assert driver.address(slot, 5).code is Completion.TRANSACTION_ERROR


@pytest.mark.parametrize("wrong", ["add", "drop", "route", "port", "port 0", "entries", "packet", "kind", "streams"])
def test_an_input_context_that_makes_no_sense_gives_no_address(wrong: str) -> None:
    driver = Driver()
    slot = bare(driver)
    driver.input_context(add=1 if wrong == "add" else 3, drop=8 if wrong == "drop" else 0)
    port = {"port": r.MAX_PORTS + 1, "port 0": 0}.get(wrong, 1)
    driver.put_slot(port, 2, 0 if wrong == "entries" else 1, route=1 if wrong == "route" else 0)
    kind = EndpointKind.BULK_IN if wrong == "kind" else EndpointKind.CONTROL
    driver.put_endpoint(slot, 1, kind, 0 if wrong == "packet" else 8)
    if wrong == "streams":
        driver.memory[INPUT + 64 + 1] = 4
    assert driver.command(TrbType.ADDRESS_DEVICE, INPUT, slot << 24).code is Completion.PARAMETER_ERROR
    assert slot_phase(driver, slot) == SlotPhase.DISABLED


@pytest.mark.parametrize(
    ("number", "kind", "packet", "code"),
    [
        (3, EndpointKind.BULK_OUT, 512, Completion.PARAMETER_ERROR),
        (4, EndpointKind.BULK_IN, 512, Completion.PARAMETER_ERROR),
        (4, EndpointKind.CONTROL, 512, Completion.PARAMETER_ERROR),
        (4, EndpointKind.INVALID, 512, Completion.PARAMETER_ERROR),
        (4, EndpointKind.BULK_OUT, 0, Completion.PARAMETER_ERROR),
        (4, EndpointKind.ISOCH_OUT, 512, Completion.BANDWIDTH_ERROR),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_not_configured(
    number: int, kind: EndpointKind, packet: int, code: Completion
) -> None:
    driver, slot = addressed()
    assert driver.configure(slot, {number: (kind, packet)}).code is code
    assert slot_phase(driver, slot) == SlotPhase.ADDRESSED


def test_configuring_needs_the_slots_flag_and_leaves_the_default_endpoint_alone() -> None:
    driver, slot = addressed()
    for add, drop in ((8, 0), (1, 1), (1, 2)):
        driver.input_context(add, drop)
        driver.put_slot(1, 1, 3)
        done = driver.command(TrbType.CONFIGURE_ENDPOINT, INPUT, slot << 24)
        assert done.code is Completion.PARAMETER_ERROR


def test_contexts_outside_of_memory_are_refused_and_harm_nobody() -> None:
    driver, slot = addressed()
    for pointer in (1 << 40, (1 << 64) - 16):
        done = driver.command(TrbType.CONFIGURE_ENDPOINT, pointer, slot << 24)
        assert done.code is Completion.PARAMETER_ERROR
    driver.store_wide(r.CONTEXT_ARRAY, 1 << 40)
    assert driver.command(TrbType.DISABLE_SLOT, control=slot << 24).code is Completion.SUCCESS
