"""No driver, whatever it puts into memory and registers, breaks a virtio device or makes it work without end."""

from __future__ import annotations

import copy
import struct
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.base import BackendBase
from devices.input.model import Input
from devices.nic.model import Nic
from devices.rng.model import Rng
from devices.virtio import registers as r
from devices.virtio.model import VirtioModel
from machine.message import HostEvent
from machine.vmstate import decode, encode
from tests.harness.fake_context import DirectCpu
from tests.harness.hosted import Erratic, Hosted
from tests.harness.virtio_driver import Driver

MODELS = pytest.mark.parametrize("create", [Nic, Input, Rng], ids=["nic", "input", "rng"])
SMALL: Final = 0x400
"""Rings and buffers lie close together, so that they hit each other."""
SIZES = (1, 2, 4, 8)
ADDRESSES = st.one_of(
    st.integers(0, SMALL // 16).map(lambda n: n * 16), st.sampled_from([1 << 40, (1 << 64) - 16, 0x8000_0000])
)
DESCRIPTOR = st.builds(
    lambda address, length, flags, following: struct.pack("<QIHH", address, length, flags, following),
    st.one_of(st.integers(0, SMALL), st.integers(0, (1 << 64) - 1)),
    st.one_of(st.integers(0, 64), st.integers(0, 2000), st.integers(0, (1 << 32) - 1), st.just(32)),
    st.one_of(st.integers(0, 7), st.integers(0, 0xFFFF)),
    st.one_of(st.integers(0, 8), st.integers(0, 0xFFFF)),
)
AVAIL = st.builds(
    lambda flags, index, heads: struct.pack("<HH10H", flags, index, *heads),
    st.integers(0, 1),
    st.one_of(st.integers(0, 9), st.integers(0, 0xFFFF)),
    st.lists(st.one_of(st.integers(0, 8), st.integers(0, 0xFFFF)), min_size=10, max_size=10),
)
QUEUE = st.tuples(st.sampled_from(SIZES), ADDRESSES, ADDRESSES, ADDRESSES)
NEVER: Final = (0, 0, 0, 0)
"""A queue that the driver does not set up."""
QUEUES = st.lists(st.one_of(QUEUE, QUEUE, QUEUE, st.just(NEVER)), min_size=2, max_size=2)
PLACES: Final = struct.Struct("<IQQQ")
FRAMES = st.lists(st.binary(max_size=100), max_size=4).map(
    lambda frames: b"".join(len(f).to_bytes(2, "big") + f for f in frames)
)
STEP = st.one_of(
    st.tuples(st.just("poke"), st.integers(0, SMALL // 16), st.one_of(DESCRIPTOR, AVAIL)),
    st.tuples(st.just("notify"), st.integers(0, 2), st.just(b"")),
    st.tuples(st.just("input"), st.sampled_from([1, 2, 3, 4, 5]), st.one_of(st.binary(max_size=64), FRAMES)),
    st.tuples(st.just("restart"), st.integers(0, 1), st.just(b"")),
    st.tuples(st.just("queue"), st.integers(0, 2), QUEUE.map(lambda places: PLACES.pack(*places))),
    st.tuples(st.just("takes"), st.integers(0, 200), st.just(b"")),
)
STEPS = st.lists(STEP, max_size=20)
MOST_WRITTEN: Final = 1 << 17
"""Bytes a message may write: 8 buffers of 4096 for the entropy source, what is held for the others."""


def _start(driver: Driver, queues: list[tuple[int, int, int, int]]) -> None:
    driver.negotiate(driver.offered())
    for index, places in enumerate(queues):
        if places != NEVER:
            _set_up(driver, index, places)
    driver.store(r.STATUS, 0x0F)
    driver.flush()


def _set_up(driver: Driver, index: int, places: tuple[int, int, int, int]) -> None:
    """Put a queue there, one that is in use too."""
    size, desc, avail, used = places
    driver.store(r.QUEUE_SEL, index)
    driver.store(r.QUEUE_NUM, size)
    for low, address in ((r.QUEUE_DESC_LOW, desc), (r.QUEUE_DRIVER_LOW, avail), (r.QUEUE_DEVICE_LOW, used)):
        driver.store(low, address & r.LOW)
        driver.store(low + 4, address >> 32)
    driver.store(r.QUEUE_READY, 1)


def _step(driver: Driver, queues: list[tuple[int, int, int, int]], step: tuple[str, int, bytes]) -> None:
    what, number, data = step
    match what:
        case "poke":
            driver.poke(number * 16, data)
        case "notify":
            driver.store(r.QUEUE_NOTIFY, number)
        case "input":
            event = HostEvent(number)
            driver.cpu.host_input(event, data if event is HostEvent.DATA else b"")
        case "restart":
            _start(driver, queues)
        case "queue":
            size, *places = PLACES.unpack(data)
            _set_up(driver, number, (size, *places))
        case _:
            driver.context.takes = number
    driver.flush()


@MODELS
@settings(max_examples=250, deadline=None)
@given(queues=QUEUES, steps=STEPS)
def test_rubbish_in_memory_is_survived_and_bounded(
    create: type[VirtioModel], queues: list[tuple[int, int, int, int]], steps: list[tuple[str, int, bytes]]
) -> None:
    driver = Driver(create())  # type: ignore[call-arg]
    _start(driver, queues)
    for step in steps:
        driver.context.writes.clear()
        _step(driver, queues, step)
        assert sum(len(write.data) for write in driver.context.writes) <= MOST_WRITTEN
    # Whatever happened, a driver that keeps to the rules gets a device that works.
    driver.start()
    assert not driver.status() & r.STATUS_NEEDS_RESET


@MODELS
@settings(max_examples=100, deadline=None)
@given(queues=QUEUES, before=STEPS, after=STEPS)
def test_a_snapshot_of_a_live_device_changes_nothing(
    create: type[VirtioModel],
    queues: list[tuple[int, int, int, int]],
    before: list[tuple[str, int, bytes]],
    after: list[tuple[str, int, bytes]],
) -> None:
    straight = Driver(create(), treating=False)  # type: ignore[call-arg]
    _start(straight, queues)
    for step in before:
        _step(straight, queues, step)
    other = copy.deepcopy(straight)
    other.model = create()  # type: ignore[call-arg]
    other.model.state = decode(type(straight.model.state), encode(straight.model.state))
    assert isinstance(other.cpu, DirectCpu)
    other.cpu.model = other.model
    for step in after:
        for driver in (straight, other):
            driver.context.writes.clear()
            _step(driver, queues, step)
        assert other.context == straight.context
    assert encode(other.model.state) == encode(straight.model.state)


@MODELS
@settings(max_examples=60, deadline=None)
@given(queues=QUEUES, steps=STEPS)
def test_what_a_hostile_driver_has_done_replays(
    create: type[VirtioModel], queues: list[tuple[int, int, int, int]], steps: list[tuple[str, int, bytes]]
) -> None:
    driver = Driver(create())  # type: ignore[call-arg]
    backend = Erratic("virtio0")
    hosted = Hosted(driver.cpu, backend)
    _start(driver, queues)
    for step in steps:
        _step(driver, queues, step)
        backend.takes = driver.context.takes or 0
    driver.start()
    hosted.replay(create(), BackendBase("virtio0"))  # type: ignore[call-arg]


@MODELS
@settings(max_examples=60, deadline=None)
@given(steps=STEPS.map(lambda steps: [step for step in steps if step[0] not in ("queue", "restart")]))
def test_a_queue_that_was_never_set_up_is_never_looked_at(
    create: type[VirtioModel], steps: list[tuple[str, int, bytes]]
) -> None:
    driver = Driver(create())  # type: ignore[call-arg]
    hosted = Hosted(driver.cpu, Erratic("virtio0"))
    _start(driver, [NEVER, NEVER])
    for step in steps:
        _step(driver, [NEVER, NEVER], step)
    asked = {name for told in hosted.tape for name, _, _ in told.asked}
    assert asked <= {"set_irq", "set_registers"}
    assert not driver.status() & r.STATUS_NEEDS_RESET


@MODELS
def test_the_longest_chains_a_queue_can_hold_end(create: type[VirtioModel]) -> None:
    driver = Driver(create())  # type: ignore[call-arg]
    driver.start()
    for queue in driver.queues:
        for index in range(queue.size):
            last = index == queue.size - 1
            queue.describe(index, 0x50000, 0xFFFF_FFFF, 0 if last else r.DESC_NEXT, index + 1)
        for _ in range(queue.size):
            queue.offer(0)
        queue.kick()
        driver.flush()
        driver.cpu.host_input(HostEvent.DATA, (b"\x00\x40" + bytes(64)) * 20)
    assert sum(len(write.data) for write in driver.context.writes) <= 1 << 16
