"""A split virtqueue gives back what was made available, once and in order, and sees through a driver that cheats."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.virtio import registers as r
from devices.virtio.buffers import JOIN_GAP, BufferWriter
from devices.virtio.ring import JOIN_BYTES
from machine.message import DmaWrite
from tests.harness.virtio_driver import Driver, Echo, WritingContext

PIECES = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4)
ROOMS = st.lists(st.integers(0, 50), max_size=4)
CHAIN = st.tuples(PIECES, ROOMS, st.booleans())


def started(*, features: int | None = None, sizes: tuple[int, int] = (16, 4)) -> Driver:
    driver = Driver(Echo())
    driver.start(features, sizes)
    return driver


def serve(driver: Driver, index: int = 0) -> None:
    driver.queues[index].kick()
    driver.flush()


def needs_reset(driver: Driver) -> bool:
    return bool(driver.status() & r.STATUS_NEEDS_RESET)


@settings(max_examples=150, deadline=None)
@given(batches=st.lists(st.lists(CHAIN, max_size=2), max_size=12), event_idx=st.booleans())
def test_every_chain_comes_back_once_with_what_belongs_in_it(
    batches: list[list[tuple[list[bytes], list[int], bool]]], event_idx: bool
) -> None:
    driver = started(features=r.F_RING_INDIRECT_DESC | (r.F_RING_EVENT_IDX if event_idx else 0))
    queue = driver.queues[0]
    for batch in batches:
        wanted = []
        for pieces, rooms, indirect in batch:
            start = driver.allocate(0) + sum(map(len, pieces))
            head = queue.add(pieces, rooms, indirect=indirect)
            data = b"".join(pieces)[: sum(rooms)]
            wanted.append((head, start, data))
        serve(driver)
        assert queue.returned() == [(head, len(data)) for head, _, data in wanted]
        for _, start, data in wanted:
            assert driver.peek(start, len(data)) == data
    assert not needs_reset(driver)


def test_both_indices_go_round() -> None:
    driver = started(sizes=(4, 4))
    queue = driver.queues[0]
    state = driver.model.transport.queues[0]
    state.seen = state.used = queue.available = queue.seen = 0xFFFD
    driver.poke(queue.avail + 2, struct.pack("<H", 0xFFFD))
    driver.poke(queue.used + 2, struct.pack("<H", 0xFFFD))
    for i in range(8):
        queue.add([bytes((i,))], [1])
        serve(driver)
        assert queue.filled() == [bytes((i,))]
    assert (state.seen, state.used) == (5, 5)


def test_a_batch_that_goes_round_the_used_ring_is_all_there() -> None:
    driver = started(sizes=(8, 4))
    queue = driver.queues[0]
    for count in (3, 4, 4, 2, 4):
        heads = [queue.add([b"x"], [1]) for _ in range(count)]
        serve(driver)
        assert queue.returned() == [(head, 1) for head in heads]


def test_normal_descriptors_may_stand_before_an_indirect_one() -> None:
    driver = started()
    queue = driver.queues[0]
    table = struct.pack("<QIHH", driver.place(b"cd"), 2, r.DESC_NEXT, 1)
    out = driver.allocate(4)
    table += struct.pack("<QIHH", out, 4, r.DESC_WRITE, 0)
    queue.describe(0, driver.place(b"ab"), 2, r.DESC_NEXT, 1)
    queue.describe(1, driver.place(table), len(table), r.DESC_INDIRECT | r.DESC_WRITE)
    queue.offer(0)
    serve(driver)
    assert queue.returned() == [(0, 4)]
    assert driver.peek(out, 4) == b"abcd"


def test_an_indirect_table_may_be_larger_than_any_chain() -> None:
    driver = started()
    queue = driver.queues[0]
    out = driver.allocate(2)
    table = bytearray(16 * 1000)
    table[:16] = struct.pack("<QIHH", driver.place(b"hi"), 2, r.DESC_NEXT, 999)
    table[999 * 16 :] = struct.pack("<QIHH", out, 2, r.DESC_WRITE, 0)
    queue.describe(0, driver.place(bytes(table)), len(table), r.DESC_INDIRECT)
    queue.offer(0)
    serve(driver)
    assert driver.peek(out, 2) == b"hi"
    assert not needs_reset(driver)


def _loop(driver: Driver) -> None:
    driver.queues[0].describe(0, 0x50000, 1, r.DESC_NEXT, 1)
    driver.queues[0].describe(1, 0x50000, 1, r.DESC_NEXT, 0)


def _self_loop(driver: Driver) -> None:
    driver.queues[0].describe(0, 0x50000, 1, r.DESC_NEXT, 0)


def _next_beyond(driver: Driver) -> None:
    driver.queues[0].describe(0, 0x50000, 1, r.DESC_NEXT, 16)


def _written_before_read(driver: Driver) -> None:
    driver.queues[0].describe(0, 0x50000, 1, r.DESC_NEXT | r.DESC_WRITE, 1)
    driver.queues[0].describe(1, 0x50000, 1)


def _beyond_the_address_space(driver: Driver) -> None:
    driver.queues[0].describe(0, (1 << 64) - 4, 5)


def _indirect(driver: Driver, table: bytes, length: int | None = None, flags: int = 0) -> None:
    size = len(table) if length is None else length
    driver.queues[0].describe(0, driver.place(table), size, r.DESC_INDIRECT | flags, 1)


def _indirect_in_indirect(driver: Driver) -> None:
    _indirect(driver, struct.pack("<QIHH", 0x50000, 16, r.DESC_INDIRECT, 0))


def _indirect_loop(driver: Driver) -> None:
    _indirect(driver, struct.pack("<QIHH", 0x50000, 16, r.DESC_NEXT, 0))


def _indirect_beyond(driver: Driver) -> None:
    _indirect(driver, struct.pack("<QIHH", 0x50000, 16, r.DESC_NEXT, 1))


def _indirect_of_no_length(driver: Driver) -> None:
    _indirect(driver, b"", 0)


def _indirect_of_odd_length(driver: Driver) -> None:
    _indirect(driver, bytes(24))


def _indirect_and_next(driver: Driver) -> None:
    _indirect(driver, struct.pack("<QIHH", 0x50000, 1, 0, 0), flags=r.DESC_NEXT)


@pytest.mark.parametrize(
    "cheat",
    [
        _loop,
        _self_loop,
        _next_beyond,
        _written_before_read,
        _beyond_the_address_space,
        _indirect_in_indirect,
        _indirect_loop,
        _indirect_beyond,
        _indirect_of_no_length,
        _indirect_of_odd_length,
        _indirect_and_next,
    ],
)
def test_a_chain_that_breaks_the_rules_needs_a_reset(cheat: object) -> None:
    assert callable(cheat)
    driver = started()
    cheat(driver)
    driver.queues[0].offer(0)
    serve(driver)
    assert needs_reset(driver)
    assert driver.interrupted() & r.INTERRUPT_CONFIG
    assert driver.queues[0].returned() == []


def test_an_indirect_descriptor_that_was_not_negotiated_needs_a_reset() -> None:
    driver = started(features=0)
    _indirect(driver, struct.pack("<QIHH", 0x50000, 1, 0, 0))
    driver.queues[0].offer(0)
    serve(driver)
    assert needs_reset(driver)


def test_an_index_that_jumps_needs_a_reset() -> None:
    for jump in (17, 0x8000, 0xFFFF):
        driver = started()
        driver.poke(driver.queues[0].avail + 2, struct.pack("<H", jump))
        serve(driver)
        assert needs_reset(driver)


def test_buffers_and_rings_where_no_memory_is_read_as_zero_and_take_nothing() -> None:
    driver = started()
    queue = driver.queues[0]
    queue.describe(0, 1 << 40, 8, r.DESC_NEXT, 1)
    queue.describe(1, (1 << 64) - 8, 8, r.DESC_WRITE)
    queue.offer(0)
    serve(driver)
    assert queue.returned() == [(0, 8)]
    assert not needs_reset(driver)


def test_rings_that_lie_on_each_other_harm_nobody_but_the_driver() -> None:
    driver = Driver(Echo())
    assert driver.negotiate(r.F_TRANSPORT)
    driver.store(r.QUEUE_NUM, 16)
    driver.store(r.QUEUE_READY, 1)
    driver.store(r.STATUS, 0x0F)
    for value in range(64):
        driver.poke(2, struct.pack("<H", value))
        driver.store(r.QUEUE_NOTIFY, 0)
        driver.flush()
    assert driver.status() & 0x0F == 0x0F


def test_without_event_idx_the_driver_says_whether_it_wants_interrupts() -> None:
    driver = started(features=0)
    queue = driver.queues[0]
    driver.poke(queue.avail, struct.pack("<H", r.AVAIL_NO_INTERRUPT))
    queue.add([b"x"])
    serve(driver)
    assert not driver.cpu.line()
    driver.poke(queue.avail, struct.pack("<H", 0))
    queue.add([b"x"])
    serve(driver)
    assert driver.interrupted() == r.INTERRUPT_QUEUE


def test_with_event_idx_the_interrupt_comes_at_the_index_that_was_asked_for() -> None:
    driver = started()
    queue = driver.queues[0]
    queue.ask_interrupt_at(2)
    came = []
    for _ in range(5):
        queue.add([b"x"])
        serve(driver)
        came.append(driver.interrupted())
    assert came == [0, 0, r.INTERRUPT_QUEUE, 0, 0]
    queue.ask_interrupt_at(6)
    for _ in range(4):
        queue.add([b"x"])
    serve(driver)
    assert driver.interrupted() == r.INTERRUPT_QUEUE


def test_with_event_idx_the_device_asks_to_hear_of_the_next_buffer() -> None:
    driver = started()
    queue = driver.queues[0]
    for _ in range(40):
        before = queue.available
        queue.add([b"x"])
        assert queue.wants_kick(before)
        serve(driver)
        queue.returned()


def test_what_is_given_back_costs_one_store_into_a_short_ring() -> None:
    driver = started()
    queue = driver.queues[0]
    for count in (1, 3, 5, 8):
        driver.context.writes.clear()
        for _ in range(count):
            queue.add([b"x"])
        serve(driver)
        assert len(driver.context.writes) == 1
        queue.returned()


def test_a_long_ring_is_not_written_as_a_whole() -> None:
    class Wide(Echo):
        __slots__ = ()
        QUEUE_SIZES = (1024,)

    driver = Driver(Wide())
    driver.start()
    queue = driver.queues[0]
    for _ in range(200):
        queue.add([b"x"])
        serve(driver)
    queue.returned()
    driver.context.writes.clear()
    head = queue.add([b"x"])
    serve(driver)
    assert queue.returned() == [(head, 0)]
    assert all(len(write.data) <= JOIN_BYTES for write in driver.context.writes)
    assert sum(len(write.data) for write in driver.context.writes) == 8 + 2 + 2


def _written(buffers: list[tuple[int, int]], pieces: list[bytes]) -> list[DmaWrite]:
    context = WritingContext()
    context.memory[:] = b"." * len(context.memory)
    writer = BufferWriter(context)
    for (address, size), piece in zip(buffers, pieces, strict=True):
        assert writer.fill([(address, size)], piece) == min(size, len(piece))
    writer.flush()
    return context.writes


def test_neighbouring_buffers_are_one_store_and_the_end_of_each_stays_as_it_was() -> None:
    assert _written([(100, 8), (108, 8), (116, 8)], [b"abcdef", b"ghijkl", b"mn"]) == [
        DmaWrite(100, b"abcdef..ghijkl..mn")
    ]


def test_buffers_apart_are_stores_of_their_own() -> None:
    writes = _written([(100, 8), (109, 8), (50, 8)], [b"abcdefgh", b"i", b"j"])
    assert writes == [DmaWrite(100, b"abcdefgh"), DmaWrite(109, b"i"), DmaWrite(50, b"j")]


def test_a_buffer_that_is_nearly_empty_is_not_written_again_for_its_neighbour() -> None:
    size = JOIN_GAP + 10
    assert len(_written([(100, size), (100 + size, 4)], [b"a", b"b"])) == 2
