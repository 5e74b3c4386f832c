"""Slow work in threads: what comes back, in which order, and what happens when it does not."""

from __future__ import annotations

import errno
import select
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.work import WorkPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_MS = 10_000
PATIENCE_S = PATIENCE_MS / 1000


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    made = WorkPool("test")
    yield made
    made.close()


def collect_until(pool: WorkPool, done: Callable[[], bool]) -> None:
    """The loop's part; AssertionError when no result comes."""
    poller = select.poll()
    poller.register(pool.wake_fd, select.POLLIN)
    while not done():
        assert poller.poll(PATIENCE_MS), "no job has ended"
        pool.collect()


def test_results_come_in_the_loops_thread_and_in_the_lanes_order(pool: WorkPool) -> None:
    lane = pool.lane()
    seen: list[tuple[int | None, int, bool]] = []
    workers: set[str] = set()

    def job(number: int) -> Callable[[], int]:
        def do() -> int:
            workers.add(threading.current_thread().name)
            return number

        return do

    here = threading.current_thread()
    for number in range(20):
        assert lane.submit(job(number), lambda v, e: seen.append((v, e, threading.current_thread() is here)))
    collect_until(pool, lambda: len(seen) == 20)
    assert seen == [(number, 0, True) for number in range(20)]
    assert here.name not in workers


def test_a_lane_does_not_wait_for_another(pool: WorkPool) -> None:
    go = threading.Event()
    seen: list[str] = []
    pool.lane().submit(lambda: go.wait(PATIENCE_S), lambda _v, _e: seen.append("slow"))
    pool.lane().submit(lambda: True, lambda _v, _e: seen.append("fast"))
    collect_until(pool, lambda: seen == ["fast"])
    go.set()
    collect_until(pool, lambda: seen == ["fast", "slow"])


def fail(reason: BaseException) -> None:
    raise reason


def test_what_goes_wrong_is_an_errno(pool: WorkPool, caplog: pytest.LogCaptureFixture) -> None:
    lane = pool.lane()
    seen: list[int] = []
    reasons = (OSError(errno.ENOSPC, "full"), OSError("odd"), OSError(-5, "odd"), MemoryError(), ZeroDivisionError())
    for reason in reasons:
        lane.submit(lambda reason=reason: fail(reason), lambda _v, e: seen.append(e))  # type: ignore[misc]
    collect_until(pool, lambda: len(seen) == len(reasons))
    assert seen == [errno.ENOSPC, errno.EIO, errno.EIO, errno.ENOMEM, errno.EIO]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_lane_is_bounded_until_its_results_are_collected(pool: WorkPool) -> None:
    lane = pool.lane(limit=2)
    seen: list[int | None] = []
    assert lane.submit(lambda: 1, lambda v, _e: seen.append(v))
    assert lane.submit(lambda: 2, lambda v, _e: seen.append(v))
    assert not lane.submit(lambda: 3, lambda v, _e: seen.append(v))
    collect_until(pool, lambda: seen == [1, 2])
    assert lane.submit(lambda: 4, lambda v, _e: seen.append(v))
    collect_until(pool, lambda: seen == [1, 2, 4])


@pytest.mark.parametrize("finish", [False, True])
def test_an_ended_lane_tells_nothing_and_its_last_job_is_done_last(pool: WorkPool, finish: bool) -> None:
    go, begun = threading.Event(), threading.Event()
    done: list[str] = []
    told: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(PATIENCE_S)
        done.append("first")

    lane = pool.lane()
    lane.submit(first, lambda _v, _e: told.append("first"))
    lane.submit(lambda: done.append("second"), lambda _v, _e: told.append("second"))
    assert begun.wait(PATIENCE_S)
    lane.end(lambda: done.append("last"), finish=finish)
    lane.end(lambda: done.append("twice"), finish=finish)
    assert not lane.submit(lambda: None, lambda _v, _e: None)
    go.set()
    assert pool.close(PATIENCE_S)
    assert done == ["first", *(["second"] if finish else []), "last"]
    assert told == []


def test_a_job_that_hangs_does_not_hang_the_end(caplog: pytest.LogCaptureFixture) -> None:
    pool = WorkPool("usb0")
    go, begun, over = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go.wait(PATIENCE_S)
        over.set()

    lane = pool.lane()
    lane.submit(hang, lambda _v, _e: None)
    lane.submit(lambda: None, lambda _v, _e: None)
    assert begun.wait(PATIENCE_S)
    assert not pool.close(0.0)
    assert pool.close()
    pool.collect()
    assert "usb0: 2 jobs on the host are not done" in caplog.text
    go.set()
    # Its result finds nobody, which must not trouble the thread.
    assert over.wait(PATIENCE_S)


def test_a_job_that_waits_on_purpose_hears_of_the_end() -> None:
    pool = WorkPool("test")
    heard: list[bool] = []
    pool.lane().submit(lambda: heard.append(pool.closing.wait(PATIENCE_S)), lambda _v, _e: None)
    assert pool.close(PATIENCE_S)
    assert heard == [True]


def test_threads_are_few_and_made_when_needed() -> None:
    pool = WorkPool("few", threads=2)
    seen: list[str] = []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("few-")]
    for _ in range(10):
        pool.lane().submit(lambda: threading.current_thread().name, lambda v, _e: seen.append(v or ""))
    collect_until(pool, lambda: len(seen) == 10)
    assert set(seen) <= {"few-work-1", "few-work-2"}
    pool.close()


@settings(max_examples=50, deadline=None)
@given(jobs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200)), max_size=60))
def test_every_job_is_told_of_once_and_lanes_keep_their_order(jobs: list[tuple[int, int]]) -> None:
    pool = WorkPool("test")
    try:
        lanes = [pool.lane() for _ in range(4)]
        told: list[list[tuple[int | None, int]]] = [[] for _ in lanes]

        def job(code: int) -> int:
            if code > 100:
                raise OSError(code, "asked for")
            return code

        for number, code in jobs:
            lanes[number].submit(lambda code=code: job(code), lambda v, e, n=number: told[n].append((v, e)))  # type: ignore[misc]
        collect_until(pool, lambda: sum(map(len, told)) == len(jobs))
        for number in range(4):
            codes = [code for lane, code in jobs if lane == number]
            assert told[number] == [(None, code) if code > 100 else (code, 0) for code in codes]
    finally:
        pool.close()
