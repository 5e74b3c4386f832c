"""A replay that runs on while somebody else finds out which instruction is wanted.

Theory of operation.  All that it is to do is asked at once: save, run a stretch, and so on to the end.  When the place
is known, what has been answered says behind which save it lies; the replay is taken back there, whatever it does.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from deploy.bisection.search import PACE

if TYPE_CHECKING:
    from deploy.bisection.runner import Answer, Runner
    from deploy.bisection.search import Pace


class Ahead:
    """A runner that is about to begin, or on its way; nobody has waited for it to be ready."""

    def __init__(self, runner: Runner, first: int, end: int, pace: Pace = PACE) -> None:
        """`first` and `end`: the icounts between which the recording is."""
        self._runner = runner
        stretch = pace.stretch(first, end)
        self._goals = range(first + stretch, end + stretch + 1, stretch)
        self._starts: list[int] = []
        """Where it was saved."""
        self._waiting = 1
        """Answers that are still to come."""

    def start(self) -> None:
        """Begin to run."""
        for goal in self._goals:
            self._runner.send(save=True)
            self._runner.send(run_on=goal)
        self._waiting += 2 * len(self._goals)

    def look(self, icount: int) -> Answer:
        """The machine at an instruction, from the nearest place in front of it.  MachineError if it has gone."""
        while self._waiting and (self._is_far_from(icount) or self._has_told()):
            answer = self._runner.take()
            self._waiting -= 1
            if "saved" in answer:
                self._starts.append(int(answer["icount"]))
        nearest = sum(start < icount for start in self._starts) - 1
        self._runner.back(max(0, nearest))
        return self._runner.ask(look=icount)

    def _is_far_from(self, icount: int) -> bool:
        """Whether it is still in a stretch in front of that with the instruction."""
        return not self._starts or self._goals[len(self._starts) - 1] < icount

    def _has_told(self) -> bool:
        return self._runner.heard or bool(select.select([self._runner], [], [], 0)[0])
