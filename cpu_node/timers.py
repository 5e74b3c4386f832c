"""Timers that devices arm, counted in virtual time by the CPU node, which owns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from machine.bounds import Count, Within
from machine.icount import FIRST_DEVICE
from machine.vmstate import vmstate


@vmstate("device-timers", 1)
@dataclass(slots=True)
class TimersState:
    """Armed timers as (deadline in virtual ns, order of arming, node number, the device's timer number)."""

    armed: tuple[tuple[Count, Count, Annotated[int, Within(FIRST_DEVICE)], Count], ...] = ()
    order: Count = 0


class DeviceTimers:
    """At one deadline the timer that was armed first runs out first."""

    def __init__(self, state: TimersState) -> None:
        self.state = state

    def arm(self, node: int, timer: int, deadline_ns: int) -> None:
        """Arm a timer; one already armed counts anew."""
        self.cancel(node, timer)
        state = self.state
        state.order += 1
        state.armed = tuple(sorted((*state.armed, (deadline_ns, state.order, node, timer))))

    def cancel(self, node: int, timer: int) -> None:
        """Disarm a timer; one that is not armed is left alone."""
        self.state.armed = tuple(row for row in self.state.armed if row[2:] != (node, timer))

    def next_ns(self) -> int | None:
        """The nearest deadline."""
        return self.state.armed[0][0] if self.state.armed else None

    def pop_expired(self, now_ns: int) -> tuple[int, int] | None:
        """Take the first timer that has run out, as (node, timer)."""
        if not self.state.armed or self.state.armed[0][0] > now_ns:
            return None
        row, *rest = self.state.armed
        self.state.armed = tuple(rest)
        return row[2], row[3]
