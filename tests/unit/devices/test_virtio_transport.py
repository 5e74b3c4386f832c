"""The MMIO transport follows the standard, and its short cuts show the guest what calls would."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.virtio import registers as r
from tests.harness.fake_context import TreatingCpu
from tests.harness.virtio_driver import ALL, Driver, Echo

if TYPE_CHECKING:
    from tests.harness.virtio_driver import DriverQueue

DRIVER_BITS = r.STATUS_ACKNOWLEDGE | r.STATUS_DRIVER
EITHER = pytest.mark.parametrize("treating", [True, False], ids=["treated", "calls"])


def started(*, treating: bool = True, features: int | None = None) -> Driver:
    driver = Driver(Echo(), treating=treating)
    driver.start(features)
    return driver


def echo(driver: Driver, data: bytes, index: int = 0) -> list[bytes]:
    """Send something round."""
    queue = driver.queues[index]
    queue.add([data], [len(data)])
    queue.kick()
    driver.flush()
    return queue.filled()


def broken(driver: Driver) -> bool:
    """The device says that it needs a reset, and has interrupted for it."""
    driver.flush()
    status = driver.status()
    return bool(status & r.STATUS_NEEDS_RESET) and driver.interrupted() & r.INTERRUPT_CONFIG == (
        r.INTERRUPT_CONFIG if status & r.STATUS_DRIVER_OK else 0
    )


@EITHER
def test_a_device_says_what_it_is(treating: bool) -> None:
    driver = Driver(Echo(), treating=treating)
    assert driver.load(r.MAGIC_VALUE).to_bytes(4, "little") == b"virt"
    assert driver.load(r.VERSION) == 2
    assert driver.load(r.DEVICE_ID) == 42
    assert driver.load(r.VENDOR_ID) == r.VENDOR
    assert driver.load(r.SHM_LEN_LOW) == driver.load(r.SHM_BASE_HIGH) == 0xFFFF_FFFF
    assert driver.offered() == Echo.FEATURES | r.F_TRANSPORT
    driver.store(r.DEVICE_FEATURES_SEL, 2)
    assert driver.load(r.DEVICE_FEATURES) == 0


def test_what_is_looked_at_often_costs_no_call() -> None:
    driver = started()
    before = driver.cpu.calls
    for offset in (r.MAGIC_VALUE, r.VERSION, r.DEVICE_ID, r.STATUS, r.INTERRUPT_STATUS, r.CONFIG_GENERATION, r.CONFIG):
        driver.load(offset)
    driver.queues[0].kick()
    assert driver.cpu.calls == before


def test_setting_a_queue_up_costs_two_calls() -> None:
    driver = Driver(Echo())
    assert driver.negotiate(driver.offered())
    before = driver.cpu.calls
    driver.set_up(0, 16)
    driver.flush()
    # QueueReady and QueueNumMax are read; the rest goes with the next message.
    assert driver.cpu.calls == before + 3


def test_features_that_were_not_offered_are_not_accepted() -> None:
    driver = Driver(Echo())
    assert driver.negotiate(r.F_VERSION_1)
    assert driver.negotiate(Echo.FEATURES | r.F_TRANSPORT)
    assert not driver.negotiate(r.F_VERSION_1 | 1 << 0)
    assert not driver.negotiate(r.F_VERSION_1 | 1 << 63)


def test_a_legacy_driver_is_not_accepted() -> None:
    assert not Driver(Echo()).negotiate(Echo.FEATURES | r.F_RING_EVENT_IDX)


def test_accepted_features_cannot_be_changed() -> None:
    driver = Driver(Echo())
    assert driver.negotiate(r.F_VERSION_1)
    driver.store(r.DRIVER_FEATURES_SEL, 0)
    driver.store(r.DRIVER_FEATURES, r.F_RING_EVENT_IDX)
    driver.flush()
    assert not driver.model.transport.has(r.F_RING_EVENT_IDX)


@EITHER
def test_a_buffer_goes_round_and_the_line_falls_with_the_acknowledgement(treating: bool) -> None:
    driver = started(treating=treating, features=0)
    assert echo(driver, b"hello") == [b"hello"]
    assert driver.cpu.line()
    assert driver.load(r.INTERRUPT_STATUS) == r.INTERRUPT_QUEUE | r.INTERRUPT_CONFIG
    driver.store(r.INTERRUPT_ACK, r.INTERRUPT_QUEUE)
    assert driver.cpu.line()
    driver.store(r.INTERRUPT_ACK, r.INTERRUPT_CONFIG)
    assert not driver.cpu.line()
    assert driver.load(r.INTERRUPT_STATUS) == 0


def test_configuration_changes_with_its_generation() -> None:
    driver = started()
    before = driver.load(r.CONFIG_GENERATION)
    echo(driver, b"x" * 300)
    assert driver.load(r.CONFIG_GENERATION) == before + 1
    assert driver.load(r.CONFIG, 8) == 300
    assert [driver.load(r.CONFIG + i, 1) for i in range(9)] == [44, 1, 0, 0, 0, 0, 0, 0, 0]
    assert driver.load(r.CONFIG + 1, 2) == 1


def test_no_queue_is_looked_at_before_driver_ok() -> None:
    driver = Driver(Echo())
    assert driver.negotiate(r.F_VERSION_1)
    driver.queues = [driver.set_up(0, 4)]
    assert echo(driver, b"early") == []
    driver.store(r.STATUS, ALL)
    assert driver.queues[0].filled() == [b"early"]


def test_driver_ok_without_accepted_features_starts_nothing() -> None:
    driver = Driver(Echo())
    driver.store(r.STATUS, DRIVER_BITS)
    driver.queues = [driver.set_up(0, 4)]
    driver.store(r.STATUS, ALL)
    assert driver.status() == ALL & ~r.STATUS_FEATURES_OK
    assert echo(driver, b"x") == []


def test_a_driver_that_has_given_up_is_left_alone() -> None:
    driver = started()
    driver.store(r.STATUS, ALL | r.STATUS_FAILED)
    assert driver.status() == ALL | r.STATUS_FAILED
    assert echo(driver, b"x") == []


@EITHER
def test_a_reset_forgets_everything_and_the_device_starts_again(treating: bool) -> None:
    driver = started(treating=treating)
    assert echo(driver, b"one") == [b"one"]
    driver.store(r.STATUS, 0)
    assert driver.status() == driver.load(r.INTERRUPT_STATUS) == 0
    assert not driver.cpu.line()
    for index in (0, 1):
        driver.store(r.QUEUE_SEL, index)
        assert driver.load(r.QUEUE_READY) == 0
    driver.start()
    assert echo(driver, b"two") == [b"two"]


def test_what_was_notified_before_a_reset_happened_before_it() -> None:
    driver = started()
    queue = driver.queues[0]
    queue.add([b"last"], [4])
    queue.kick()
    driver.store(r.STATUS, 0)
    assert queue.filled() == [b"last"]


def test_a_queue_that_is_not_there_has_no_size() -> None:
    driver = started()
    for index in (2, 0xFFFF, 0xFFFF_FFFF):
        driver.store(r.QUEUE_SEL, index)
        driver.store(r.QUEUE_READY, 1)
        driver.store(r.QUEUE_NUM, 4)
        driver.store(r.QUEUE_NOTIFY, index)
        assert driver.load(r.QUEUE_NUM_MAX) == driver.load(r.QUEUE_READY) == 0
    assert echo(driver, b"x", 1) == [b"x"]


def _put_up(driver: Driver, size: int, desc: int, avail: int, used: int) -> None:
    driver.store(r.QUEUE_SEL, 0)
    driver.store(r.QUEUE_NUM, size)
    driver.store(r.QUEUE_DESC_LOW, desc)
    driver.store(r.QUEUE_DRIVER_LOW, avail)
    driver.store(r.QUEUE_DEVICE_LOW, used)
    driver.store(r.QUEUE_READY, 1)


@pytest.mark.parametrize(
    ("size", "desc", "avail", "used"),
    [
        (0, 0x1000, 0x2000, 0x3000),
        (3, 0x1000, 0x2000, 0x3000),
        (32, 0x1000, 0x2000, 0x3000),
        (0xFFFF_FFFF, 0x1000, 0x2000, 0x3000),
        (16, 0x1008, 0x2000, 0x3000),
        (16, 0x1000, 0x2001, 0x3000),
        (16, 0x1000, 0x2000, 0x3002),
    ],
)
def test_a_queue_of_bad_size_or_place_needs_a_reset(size: int, desc: int, avail: int, used: int) -> None:
    driver = Driver(Echo())
    assert driver.negotiate(r.F_VERSION_1)
    _put_up(driver, size, desc, avail, used)
    assert driver.load(r.QUEUE_READY) == 0
    assert broken(driver)
    driver.start()
    assert echo(driver, b"again") == [b"again"]


def test_a_queue_that_is_in_use_stays_where_it_is() -> None:
    driver = started()
    _put_up(driver, 4, 0x1000, 0x2000, 0x3000)
    assert echo(driver, b"here") == [b"here"]


def test_a_queue_can_be_taken_away_and_put_up_again() -> None:
    driver = started()
    assert echo(driver, b"one") == [b"one"]
    driver.store(r.QUEUE_SEL, 0)
    driver.store(r.QUEUE_READY, 0)
    assert driver.load(r.QUEUE_READY) == 0
    assert echo(driver, b"gone") == []
    queue = driver.queues[0] = driver.set_up(0, 8)
    for data in (b"two", b"three"):
        before = queue.available
        assert echo(driver, data) == [data]
        queue.add([data])
        assert queue.wants_kick(before + 1)
        queue.kick()
        driver.flush()
        queue.returned()


def test_the_need_of_a_reset_cannot_be_written_away(caplog: pytest.LogCaptureFixture) -> None:
    driver = started()
    with caplog.at_level(logging.WARNING, "dejavm"):
        driver.queues[0].offer(99)
        driver.queues[0].kick()
        assert broken(driver)
    assert [record.getMessage() for record in caplog.records] == [
        "echo: the guest's driver must reset the device: queue 0: descriptor 99 is beyond a table of 16 (fault 1)"
    ]
    driver.store(r.STATUS, ALL)
    assert driver.status() == ALL | r.STATUS_NEEDS_RESET
    assert echo(driver, b"x") == []
    assert driver.model.transport.faults == 1


def test_a_driver_that_breaks_the_rules_all_the_time_does_not_fill_the_screen(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(Echo())
    with caplog.at_level(logging.WARNING, "dejavm"):
        for _ in range(100):
            driver.start()
            driver.queues[1].offer(4)
            driver.queues[1].kick()
            assert broken(driver)
    assert len(caplog.records) == 7


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_store_of_another_width_is_none(size: int) -> None:
    driver = started()
    for offset in (r.STATUS, r.QUEUE_READY, r.QUEUE_SEL, r.INTERRUPT_ACK, r.QUEUE_NOTIFY, r.DRIVER_FEATURES):
        driver.store(offset, 0, size)
    assert driver.status() == ALL
    assert echo(driver, b"x") == [b"x"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.sampled_from(range(0, 0x110, 4)), st.just(0)),
        st.tuples(st.just("store"), st.sampled_from(range(0, 0x110, 4)), st.one_of(st.integers(0, 3), st.just(ALL))),
        st.tuples(st.just("echo"), st.integers(0, 1), st.integers(0, 60)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
    ),
    max_size=25,
)
MOST_DESCRIPTORS = 2
TOLD_LATER = (r.QUEUE_NOTIFY, r.QUEUE_READY)
"""What these do, or find wrong, shows only when the device has been told."""


def _play(driver: Driver, steps: list[tuple[str, int, int]]) -> list[object]:
    """What the guest sees."""
    seen: list[object] = []
    late = False
    for what, number, value in steps:
        queue: DriverQueue = driver.queues[number if what == "echo" else 0]
        match what:
            case "load":
                if late:
                    driver.flush()
                late = False
                seen.append(driver.load(number))
            case "store":
                driver.store(number, value)
                late |= number in TOLD_LATER
            case "echo" if queue.free >= MOST_DESCRIPTORS:
                queue.add([bytes(value)], [value])
                queue.kick()
                driver.flush()
                seen.append(queue.filled())
            case _:
                driver.flush()
                seen.append(driver.cpu.line())
    return seen


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_short_cuts_show_the_guest_what_calls_would(steps: list[tuple[str, int, int]]) -> None:
    treated, called = started(treating=True), started(treating=False)
    assert isinstance(treated.cpu, TreatingCpu)
    assert _play(treated, steps) == _play(called, steps)
    assert treated.context.memory == called.context.memory
