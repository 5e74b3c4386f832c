"""One window of the history, searched for the last breakpoint or watchpoint in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpu_node.debugger import Order, Why

if TYPE_CHECKING:
    from cpu_node.debugger import Hit
    from cpu_node.timeline.replica import Points, Replica

PARTS: Final = 8
"""A long window leaves marks in itself, so that what is found in it is near one."""
SHORTEST_PART: Final = 1 << 26


class Scan:
    """From a mark to the next, or exactly to an instruction that has not happened then."""

    def __init__(self, start: Replica, end: int, points: Points, *, exact: bool) -> None:
        self.replica = start.fork()
        self.hit: Hit | None = None
        """The last point so far."""
        self.done = False
        self._end = end
        self._exact = exact
        self._points = points
        self._part = max(SHORTEST_PART, (end - start.icount) // PARTS)
        self._marks: list[Replica] = []
        self._go_on()

    def take(self) -> None:
        """The replica stands: note what it has met, and let it go on if this is not the end."""
        stop = self.replica.take()
        self.hit = stop.hit or self.hit
        if stop.why is Why.PAUSED and stop.icount < self._end:
            self._marks.append(self.replica.fork())
            self._go_on()
        else:
            self.done = True

    def close(self) -> list[Replica]:
        """It is not needed any more; the marks that it has left."""
        self.replica.end()
        marks, self._marks = self._marks, []
        return marks

    def _go_on(self) -> None:
        pause_at = min(self.replica.icount + self._part, self._end)
        until = self._end if self._exact else None
        if self._exact and pause_at == self._end:
            self.replica.resume(Order(until=until, noting=True, anew=True), self._points)
        else:
            self.replica.resume(Order(pause_at=pause_at, until=until, noting=True, anew=True), self._points)
