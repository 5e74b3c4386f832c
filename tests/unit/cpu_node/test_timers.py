"""Timers of devices: the nearest first, and of equal ones the one that was armed first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cpu_node.timers import DeviceTimers, TimersState
from machine import vmstate

ARMED = st.lists(st.tuples(st.integers(2, 4), st.integers(0, 2), st.integers(0, 20)), max_size=20)


@given(ARMED, st.integers(0, 25))
def test_timers_run_out_in_the_order_of_their_deadlines_and_then_of_arming(
    rows: list[tuple[int, int, int]], now: int
) -> None:
    timers = DeviceTimers(TimersState())
    last: dict[tuple[int, int], tuple[int, int]] = {}
    for order, (node, timer, deadline) in enumerate(rows):
        timers.arm(node, timer, deadline)
        last[node, timer] = (deadline, order)
    due = sorted((place, key) for key, place in last.items() if place[0] <= now)
    popped = []
    while (expired := timers.pop_expired(now)) is not None:
        popped.append(expired)
    assert popped == [key for _, key in due]
    left = [deadline for deadline, _ in last.values() if deadline > now]
    assert timers.next_ns() == (min(left) if left else None)


def test_a_timer_that_is_armed_again_counts_anew() -> None:
    timers = DeviceTimers(TimersState())
    timers.arm(2, 0, 10)
    timers.arm(2, 0, 50)
    assert timers.pop_expired(49) is None
    assert timers.pop_expired(50) == (2, 0)


def test_cancelling_is_for_one_timer_and_always_allowed() -> None:
    timers = DeviceTimers(TimersState())
    timers.arm(2, 0, 10)
    timers.arm(2, 1, 10)
    timers.cancel(2, 0)
    timers.cancel(3, 0)
    assert timers.pop_expired(10) == (2, 1)
    assert timers.pop_expired(10) is None


@given(ARMED)
def test_armed_timers_come_back_from_their_canonical_bytes(rows: list[tuple[int, int, int]]) -> None:
    timers = DeviceTimers(TimersState())
    for row in rows:
        timers.arm(*row)
    assert vmstate.decode(TimersState, vmstate.encode(timers.state)) == timers.state
