"""The entropy source fills what it is given with what the context gives, and with nothing else."""

from __future__ import annotations

from devices.rng import SPEC
from devices.rng import registers as r
from devices.rng.model import Rng
from devices.virtio.registers import F_TRANSPORT
from machine.message import EntropyRead
from tests.harness.virtio_driver import Driver, WritingContext


def started() -> Driver:
    driver = Driver(Rng())
    driver.start()
    return driver


def given_out(sizes: list[int]) -> bytes:
    """What the context gives for these requests."""
    context = WritingContext()
    return b"".join(context.read_entropy(size) for size in sizes)


def test_it_says_that_it_is_one() -> None:
    driver = Driver(Rng())
    assert driver.load(0x008) == 4
    assert driver.offered() == F_TRANSPORT
    assert driver.load(0x100) == 0
    assert SPEC.create({}).state == Rng().state


def test_buffers_are_filled_in_one_message_with_bytes_of_the_context() -> None:
    driver = started()
    queue = driver.queues[0]
    for size in (64, 1, 32):
        queue.add(writable=[size])
    queue.kick()
    before = driver.cpu.calls
    driver.flush()
    assert driver.cpu.calls == before + 1
    filled = queue.filled()
    assert [len(data) for data in filled] == [64, 1, 32]
    assert b"".join(filled) == given_out([64, 1, 32])
    assert driver.interrupted()


def test_a_long_buffer_is_filled_in_part() -> None:
    driver = started()
    queue = driver.queues[0]
    queue.add(writable=[r.LARGEST_REQUEST - 1, 100, 100])
    queue.kick()
    driver.flush()
    (data,) = queue.filled()
    assert data == given_out([r.LARGEST_REQUEST])


def test_a_buffer_without_room_gets_nothing_and_comes_back() -> None:
    driver = started()
    queue = driver.queues[0]
    heads = [queue.add([b"abc"]), queue.add([b"abc"], [0])]
    queue.kick()
    driver.flush()
    assert queue.returned() == [(heads[0], 0), (heads[1], 0)]
    assert driver.context.entropy_bytes == 0


def test_nobody_is_asked_before_the_guest_asks() -> None:
    driver = started()
    driver.queues[0].kick()
    driver.flush()
    assert driver.context.entropy_bytes == 0
    assert not any(isinstance(effect, EntropyRead) for effect in driver.context.effects)
