"""Forward to the next breakpoint or watchpoint, at the speed of a run that has none.

Theory of operation.  With a watchpoint the engine runs five times as slow: every access to memory goes its slow way,
and it looks behind each instruction whether to stop.  So a scout, a fork, runs ahead without; the pages that are
watched have guards (guards.py), and it stops behind the stretch in which one is touched.  Where it found none touched
the others need not look: it is the present.  From the last place in front of the touch another fork goes on slowly, and
stops where the debugger has to, or it was another word of the page.

A guest that touches the page all the time has scouts for nothing.  So it begins slowly, and goes on slowly for twice as
long behind each that was for nothing.

Lives here: who runs how far.  Never here: what a place is (history.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cpu_node.debugger import Order, Why

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpu_node.debugger import Stop
    from cpu_node.timeline.replica import Points, Replica


@dataclass(frozen=True, slots=True)
class Pace:
    """Instructions.  The answer is the same with any."""

    spacing: int = 1 << 26
    """Between two marks: a third of a second."""
    slowly: int = 1 << 23
    """With watchpoints before there is a scout: what it costs to have everything translated anew."""

    def slower(self, slowly: int) -> int:
        """How long behind a scout that was for nothing, after so long behind the one before."""
        return min(2 * slowly, MOST * self.slowly)


PACE: Final = Pace()
MOST: Final = 64
"""Times as long, however many scouts were for nothing."""


def forward(
    present: Replica,
    points: Points,
    wait: Callable[[Replica], Stop],
    mark: Callable[[Replica], None],
    pace: Pace = PACE,
) -> Replica:
    """Run to the next point, or the end; the replica that stands there, the present or another in its place.

    `wait` for a replica that runs, which somebody impatient may have stopped; `mark` keeps a fork of one.
    """
    return _Forward(present, points, wait, mark, pace).run()


class _Forward:
    def __init__(
        self,
        present: Replica,
        points: Points,
        wait: Callable[[Replica], Stop],
        mark: Callable[[Replica], None],
        pace: Pace,
    ) -> None:
        self._present = present
        self._points = points
        self._wait = wait
        self._mark = mark
        self._pace = pace
        self._slowly = pace.slowly

    def run(self) -> Replica:
        anew = False
        if self._points[1]:
            self._present.resume(Order(pause_at=self._present.icount + self._slowly), self._points)
            self._wait(self._present)
            anew = True
        while not anew or self._present.stop.why is Why.PAUSED:
            if self._points[1]:
                self._scout()
            else:
                self._present.resume(Order(pause_at=self._next_mark(), anew=anew), self._points)
                self._arrived(self._wait(self._present))
            anew = True
        return self._present

    def _next_mark(self) -> int:
        spacing = self._pace.spacing
        return (self._present.icount // spacing + 1) * spacing

    def _arrived(self, stop: Stop) -> None:
        if stop.why is Why.PAUSED:
            self._mark(self._present)

    def _scout(self) -> None:
        """Go on to the next mark, or behind what touches a page before it."""
        scout = self._present.fork()
        scout.resume(Order(pause_at=self._next_mark(), anew=True, scouting=True), self._points)
        stop = self._wait(scout)
        found = scout.ask(scouted=None)
        if not found["touched"]:
            self._become(scout)
            self._slowly = self._pace.slowly
            self._arrived(stop)
            return
        scout.end()
        if found["clean"] > self._present.icount and not self._run_to(found["clean"]):
            return
        if stop.why is Why.INTERRUPT:
            self._present.stop = replace(self._present.stop, why=Why.INTERRUPT)
        else:
            self._go_on_slowly(stop.icount)

    def _go_on_slowly(self, touched: int) -> None:
        """The present stands in front of what has been touched up to an instruction count."""
        slow = self._present.fork()
        slow.resume(Order(pause_at=touched + self._slowly, anew=True), self._points)
        if self._wait(slow).why is not Why.PAUSED:
            self._become(slow)
            return
        # Another word of the page.  Nothing is met up to there, so the present may follow as it is.
        reached = slow.icount
        slow.end()
        if self._run_to(reached):
            self._mark(self._present)
        self._slowly = self._pace.slower(self._slowly)

    def _run_to(self, icount: int) -> bool:
        """Have the present run to a sync point with nothing to be met on the way; False if it is stopped before."""
        self._present.resume(Order(pause_at=icount))
        return self._wait(self._present).why is Why.PAUSED

    def _become(self, replica: Replica) -> None:
        self._present.end()
        self._present = replica
