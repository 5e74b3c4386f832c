"""One window of the history, searched for the last breakpoint or watchpoint in it.

Theory of operation.  To note watchpoints makes the engine three times as slow.  So a scout runs ahead (forward.py), and
what it has found untouched up to its end is searched.
"""

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
        """The one that runs."""
        self.hit: Hit | None = None
        """The last point so far."""
        self.done = False
        self._end = end
        self._exact = exact
        self._points = points
        self._part = max(SHORTEST_PART, (end - start.icount) // PARTS)
        self._marks: list[Replica] = []
        self._behind: Replica | None = None
        """Where the one that runs, a scout, has come from."""
        self._go_on()

    def take(self) -> None:
        """The replica stands: note what it has met, and let it go on if this is not the end."""
        stop = self.replica.take()
        if self._behind is not None and self._has_touched(self._behind):
            self._run(scouting=False)
            return
        self.hit = stop.hit or self.hit
        if stop.why is Why.PAUSED and stop.icount < self._end:
            self._marks.append(self.replica.fork())
            self._go_on()
        else:
            self.done = True

    def close(self) -> list[Replica]:
        """It is not needed any more; the marks that it has left."""
        self.replica.end()
        if self._behind is not None:
            self._behind.end()
        marks, self._marks = self._marks, []
        return marks

    def _go_on(self) -> None:
        if self._points[1]:
            self._behind = self.replica
            self.replica = self._behind.fork()
        self._run(scouting=self._behind is not None)

    def _has_touched(self, behind: Replica) -> bool:
        """Whether the scout has; then the one that it has come from is in its place, and else that is gone."""
        touched = bool(self.replica.ask(scouted=None)["touched"])
        (self.replica if touched else behind).end()
        if touched:
            self.replica = behind
        self._behind = None
        return touched

    def _run(self, *, scouting: bool) -> None:
        pause_at = min(self.replica.icount + self._part, self._end)
        until = self._end if self._exact else None
        pausing = None if self._exact and pause_at == self._end else pause_at
        order = Order(pause_at=pausing, until=until, noting=True, anew=True, scouting=scouting)
        self.replica.resume(order, self._points)
