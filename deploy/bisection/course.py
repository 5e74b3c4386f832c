"""Replays that run one stretch after the other, each at its own pace, until they are not the same any more.

Theory of operation.  In front of each stretch a replay saves itself, behind it it tells registers and a digest of
memory.  What two have told of one stretch is compared when both have; nobody waits for that.  Where they differ both
go back to what they saved in front of the stretch, however far they have come meanwhile.
"""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deploy.bisection.runner import Answer, Runner


SEEN: Final = ("icount", "registers", "pages", "granules")
"""What an answer tells of the machine."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch behind which replays differ; they stand in front of it, where they are equal."""

    low: int
    high: int
    looks: Sequence[Answer] = ()
    """All of memory where they differ, if they stood at one place there."""
    wrong: Answer | None = None
    """What is not as it is in the log, if that is the difference."""
    alone: bool = True
    """A replay that is put to nothing has said so."""


@dataclass(slots=True)
class Lane:
    """One replay on its way."""

    runner: Runner
    first_save: int
    told: list[tuple[Answer, Answer]] = field(default_factory=list)
    """Behind each stretch: how the run went, and what is there."""
    running: bool = False

    def wants(self, goals: Sequence[int]) -> bool:
        """Whether it has farther to go."""
        return len(self.told) < len(goals) and (not self.told or bool(self.told[-1][0]["more"]))

    def begin(self, goal: int, look: Mapping[str, object]) -> None:
        """The next stretch."""
        for request in ({"save": True}, {"run_on": goal}, {"look": None, **look}):
            self.runner.send(**request)
        self.runner.take()
        self.running = True

    def end(self) -> None:
        """It has been run."""
        self.told.append((self.runner.take(), self.runner.take()))
        self.running = False

    def back(self, stretch: int) -> None:
        """In front of a stretch again, unless it has not come so far."""
        self.runner.back(self.first_save + stretch)


class Course:
    """The lanes, and what has been compared.

    Without `granules` all of memory is compared, else those.  The first runner is the one that is put to nothing.
    `in_turn`: one after the other, where there is one processor for both.
    """

    def __init__(
        self, runners: Sequence[Runner], goals: Sequence[int], granules: Sequence[int] | None, *, in_turn: bool = False
    ) -> None:
        self._lanes = [Lane(runner, runner.saves) for runner in runners]
        self._goals = goals
        self._look = {"all": True} if granules is None else {"granules": granules}
        self._in_turn = in_turn
        self._low = runners[0].stands
        self._compared = 0

    def run(self) -> Gap | None:
        """To the first sync point at or behind each goal; None if nothing differs, and all stand at the last one."""
        while running := self._run_on():
            told = [lane.runner for lane in running if lane.runner.heard]
            told = told or select.select([lane.runner for lane in running], [], [])[0]
            for lane in running:
                if lane.runner in told:
                    lane.end()
            if (gap := self._compare()) is not None:
                return gap
        return None

    def _run_on(self) -> list[Lane]:
        """Those who are on their way, whoever could go on too."""
        for lane in self._lanes:
            if lane.running or lane.wants(self._goals):
                if not lane.running:
                    lane.begin(self._goals[len(lane.told)], self._look)
                if self._in_turn:
                    break
        return [lane for lane in self._lanes if lane.running]

    def _compare(self) -> Gap | None:
        plain = self._lanes[0]
        if plain.told and "divergence" in plain.told[-1][0]:
            stretch = len(plain.told) - 1
            low = int(plain.told[stretch - 1][0]["icount"]) if stretch else self._low
            plain.back(stretch)
            return Gap(low, place(plain.told[-1][0]), wrong=plain.told[-1][0])
        while all(len(lane.told) > self._compared for lane in self._lanes):
            rows = [lane.told[self._compared] for lane in self._lanes]
            if (gap := _gap(self._low, rows)) is not None:
                for lane in self._lanes:
                    lane.back(self._compared)
                return gap
            self._low = int(rows[0][0]["icount"])
            self._compared += 1
        return None


def _gap(low: int, rows: Sequence[tuple[Answer, Answer]]) -> Gap | None:
    """What differs behind one stretch, of replays that were equal in front of it."""
    ran, looks = [row[0] for row in rows], [row[1] for row in rows]
    wrong = next((answer for answer in ran if "divergence" in answer), None)
    if wrong is None and same(looks):
        return None
    together = len({look["icount"] for look in looks}) == 1 and not same(looks)
    if wrong is None:
        # The sync point where they stood has been dealt with; an exact look sees that one instruction later.
        return Gap(low, max(int(look["icount"]) for look in looks) + 1, looks if together else ())
    return Gap(low, place(wrong), looks if together else (), wrong, alone=False)


def place(wrong: Answer) -> int:
    """A message that is missing is missed at the stamp of the next one; the CPU waits for it before that."""
    return min(int(wrong["at"]), int(wrong["icount"]))


def same(looks: Sequence[Answer]) -> bool:
    """Whether all have seen the same machine."""
    return all(looks[0].get(key) == other.get(key) for other in looks[1:] for key in SEEN)
