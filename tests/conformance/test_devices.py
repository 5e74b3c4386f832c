"""What every device must do, whatever it is: tested the moment it is in the table."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.base import BackendBase
from devices.registry import DEVICES, find_device, spec_of
from machine.board import DeviceSlot
from machine.errors import BoardError
from machine.message import HostEvent
from machine.vmstate import decode, encode, identity
from tests.devices.button import SPEC as BUTTON
from tests.devices.dmacopy import SPEC as DMACOPY
from tests.harness.fake_context import DirectCpu, FakeContext
from tests.harness.hosted import Erratic, Hosted
from tests.outside.dejavm_outside.stopwatch import SPEC as STOPWATCH
from tests.saboteurs.clock_reader import SPEC as CLOCK_READER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import DeviceModel, DeviceSpec

SPECS = [*map(spec_of, DEVICES), DMACOPY, BUTTON, STOPWATCH]
ALL_SPECS = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
SIZES = st.sampled_from([1, 2, 4, 8])
OFFSETS = st.one_of(st.integers(0, 0x40), st.integers(0, 0xFFF))
VALUES = st.one_of(st.integers(0, 255), st.integers(0, (1 << 64) - 1))
OPERATION = st.one_of(
    st.tuples(st.just("read"), OFFSETS, SIZES, st.just(0)),
    st.tuples(st.just("write"), OFFSETS, SIZES, VALUES),
    st.tuples(st.just("popped"), st.just(0), st.just(1), st.integers(0, 300)),
    st.tuples(st.just("input"), st.sampled_from(list(HostEvent)), st.integers(0, 40), st.integers(0, 255)),
    st.tuples(st.just("timer"), st.integers(0, 2), st.just(1), st.just(0)),
    st.tuples(st.just("takes"), st.integers(0, 60), st.just(1), st.just(0)),
)
Operation = tuple[str, int, int, int]
OPERATIONS = st.lists(OPERATION, max_size=30)


def apply(model: DeviceModel, context: FakeContext, operations: list[Operation]) -> list[object]:
    """Each operation as one message; what the guest and the wire saw."""
    seen: list[object] = []
    for what, number, size, value in operations:
        match what:
            case "read":
                seen.append(model.read(number, size, context))
            case "write":
                model.write(number, size, value, context)
            case "popped":
                model.popped(number, value, context)
            case "input":
                data = bytes((value,)) * size if number == HostEvent.DATA else b""
                model.host_input(HostEvent(number), data, context)
            case "timer":
                model.timer_expired(number, context)
            case _:
                context.takes = number
        model.settle(context)
        seen.append(model.input_room())
    return [*seen, *context.effects]


class Talkative(BackendBase):
    """A backend that has something to say whenever it is looked after."""

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """Say it."""
        self._submit(HostEvent.DATA, b"listen!", 0)
        return ()


def record(spec: DeviceSpec, operations: list[Operation]) -> Hosted:
    """Each operation as one message, behind the gate of a recording."""
    backend = Erratic(spec.kind)
    cpu = DirectCpu(spec.create({}), FakeContext(clock_step_ns=1000))
    cpu.reset()
    hosted = Hosted(cpu, backend)
    for what, number, size, value in operations:
        match what:
            case "read":
                cpu.load(number, size)
            case "write":
                cpu.store(number, value, size)
            case "popped":
                cpu.model.popped(number, value, cpu.context)
                cpu.settle()
            case "input":
                backend.say(HostEvent(number), bytes((value,)) * size if number == HostEvent.DATA else b"")
                hosted.deliver()
            case "timer":
                cpu.timer_expired(number)
            case _:
                backend.takes = number
    hosted.close()
    return hosted


def fresh(spec: DeviceSpec) -> tuple[DeviceModel, FakeContext]:
    """A device after power-on."""
    model, context = spec.create({}), FakeContext(clock_step_ns=1000)
    model.reset(context)
    model.settle(context)
    context.effects.clear()
    return model, context


@ALL_SPECS
@settings(max_examples=60, deadline=None)
@given(before=OPERATIONS, after=OPERATIONS)
def test_a_snapshot_in_the_middle_changes_nothing(
    spec: DeviceSpec, before: list[Operation], after: list[Operation]
) -> None:
    straight, context = fresh(spec)
    apply(straight, context, before)
    second, other = spec.create({}), copy.deepcopy(context)
    second.state = decode(type(straight.state), encode(straight.state))
    assert apply(second, other, after) == apply(straight, context, after)
    assert encode(second.state) == encode(straight.state)


@ALL_SPECS
@settings(max_examples=60, deadline=None)
@given(operations=OPERATIONS)
def test_what_was_recorded_replays_without_the_backend(spec: DeviceSpec, operations: list[Operation]) -> None:
    recorded = record(spec, operations)
    assert recorded.replay(spec.create({}), BackendBase(spec.kind)).refused == 0
    # One that is never silent is not heard, but counted.
    assert recorded.replay(spec.create({}), Talkative(spec.kind)).refused == len(recorded.tape)


def test_a_device_that_looks_elsewhere_than_into_its_messages_is_caught() -> None:
    recorded = record(CLOCK_READER, [("read", 0, 8, 0)])
    with pytest.raises(AssertionError):
        recorded.replay(CLOCK_READER.create({}), BackendBase("saboteur"))


@ALL_SPECS
@settings(max_examples=60, deadline=None)
@given(operations=OPERATIONS)
def test_no_access_and_no_input_crashes_a_device(spec: DeviceSpec, operations: list[Operation]) -> None:
    model, context = fresh(spec)
    seen = apply(model, context, operations)
    assert all(0 <= value < 1 << 64 for value in seen if isinstance(value, int))


@ALL_SPECS
@settings(max_examples=30, deadline=None)
@given(operations=OPERATIONS)
def test_a_reset_gives_the_initial_state(spec: DeviceSpec, operations: list[Operation]) -> None:
    model, context = fresh(spec)
    initial = encode(model.state)
    # But for who is at the other end: a restart of the machine does not send anybody away.
    apply(model, context, [*operations, ("input", HostEvent.OPENED, 0, 0)])
    model.reset(context)
    model.settle(context)
    assert encode(model.state) == initial


@ALL_SPECS
def test_registers_that_do_not_exist_read_as_zero(spec: DeviceSpec) -> None:
    model, context = fresh(spec)
    before = encode(model.state)
    for offset in (0x28, 0x400, 0xFFF, 1 << 20):
        model.write(offset, 8, (1 << 64) - 1, context)
        assert model.read(offset, 8, context) == 0
        model.settle(context)
    assert encode(model.state) == before
    assert context.effects == []


@ALL_SPECS
def test_a_device_has_declared_state_and_says_what_it_is(spec: DeviceSpec) -> None:
    name, version = identity(type(spec.create({}).state))
    assert name
    assert version >= 1
    assert spec.summary


def test_the_table_is_keyed_by_kind() -> None:
    assert all(kind == spec_of(kind).kind for kind in DEVICES)


def test_a_device_from_outside_is_found_by_its_module() -> None:
    slot = DeviceSlot("copier0", "tests.devices.dmacopy:SPEC", 0x1000_2000)
    assert find_device(slot) is DMACOPY


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("toaster", "known: input, nic, rng, rtc, serial, usb"),
        ("no.such.module:SPEC", "cannot import"),
        ("tests.devices.dmacopy:NOTHING", "cannot import"),
        ("tests.devices.dmacopy:STATUS", "not a DeviceSpec"),
        ("antigravity:SPEC", "Python's own"),
    ],
)
def test_an_unknown_device_is_named_with_what_is_known(kind: str, says: str) -> None:
    with pytest.raises(BoardError, match=f"device.x0.kind: .*{says}"):
        find_device(DeviceSlot("x0", kind, 0x1000_2000))
