"""Where two replays of one recording part: first the stretch, then the instruction.

Theory of operation.  Both run side by side, a stretch at a time, and save themselves in front of each (course.py).
Behind the first stretch that differs both go back, and run it in shorter ones, comparing only registers and the pages
found to differ.  What is left in the end is walked through by forks that tell the same at many places ahead, and the
replays run on to the last where they are equal; the last few instructions are looked at one by one.  At the end
everything is compared once more in front of the instruction that was found: pages that differed earlier and then no
more send the search to the earlier place.

So each replay runs the recording once, and one stretch a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from deploy.bisection.course import Course, same
from deploy.bisection.runner import Answer, ask_all
from machine.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.bisection.course import Gap
    from deploy.bisection.runner import Runner

MOST_GRANULES: Final = 8
MOST_PAGES: Final = 64
"""Pages that are followed, of so many MiB; where more differ the first are as good as any."""
PAGES_IN_GRANULE: Final = 256


@dataclass(frozen=True, slots=True)
class Pace:
    """How a search goes about it; a recording that is short is run in one stretch."""

    stretches: int = 8
    """How often everything is compared, in a recording that is long enough."""
    shortest: int = 1 << 26
    """Instructions of a stretch at least."""
    looks: int = 1 << 25
    """So many instructions at most are walked through by forks: running them again is cheaper than eight saves."""
    steps: int = 64
    """How often a walk looks."""

    def stretch(self, first: int, end: int) -> int:
        """Instructions of a stretch."""
        return max(self.shortest, -(-(end - first) // self.stretches))


PACE: Final = Pace()


@dataclass(frozen=True, slots=True)
class Parting:
    """The two machines where they first differ: behind instruction `icount`, the one shown by `before`."""

    icount: int
    before: Answer
    after: tuple[Answer, Answer]


@dataclass(frozen=True, slots=True)
class LogParting:
    """A replay that is not what was recorded: the message that differs says more than any register."""

    icount: int
    text: str
    before: Answer | None


def find_parting(
    runners: Sequence[Runner], end: int, pace: Pace = PACE, *, in_turn: bool = False
) -> Parting | LogParting | None:
    """Where the runners part from each other or from the log; None if they do not.

    One runner alone is compared with the log only.  The first is put to nothing: if it parts from the log, that is it.
    """
    low = max(int(runner.take()["icount"]) for runner in runners)
    stretch = pace.stretch(low, end)
    # The last goal lies behind the end: there is what the recording asks for then.
    gap = Course(runners, range(low + stretch, end + stretch + 1, stretch), None, in_turn=in_turn).run()
    if gap is None:
        return None
    if gap.alone and gap.wrong is not None:
        return _wrong_message(runners[0], gap.wrong, gap.high)
    return Narrowing(runners, pace, gap).run()


def _wrong_message(runner: Runner, wrong: Answer, icount: int) -> LogParting:
    """The first difference from the log, and the machine in front of it, as far as it comes."""
    try:
        before = runner.ask(look=icount)
    except MachineError:
        before = None
    if before is not None and before["icount"] != icount:
        before = None
    return LogParting(icount, str(wrong["divergence"]), before)


class Narrowing:
    """The instruction behind which the machines part, in a stretch in front of which they stand and are equal."""

    def __init__(self, runners: Sequence[Runner], pace: Pace, gap: Gap) -> None:
        self._runners = runners
        self._pace = pace
        self._granules: list[int] | None = None
        """Where memory differs, by MiB; None if that is not known."""
        self._low, self._high = gap.low, gap.high
        self._wrong: Answer | None = None
        """What is not as it is in the log where they part, if anything."""
        self._take(gap)

    def run(self) -> Parting | LogParting:
        """Find it."""
        floor, saves = self._low, [runner.saves for runner in self._runners]
        ask_all(self._runners, save=True)
        self._run_closer()
        if self._granules is None:
            looks = ask_all(self._runners, look=self._high, all=True)
            if self._wrong is not None and same(looks):
                return LogParting(self._high, str(self._wrong["divergence"]), looks[0])
            self._granules = _differing_granules(looks)
        pages = self._differing_pages(self._granules)
        self._walk(pages)
        self._look_closer(pages)
        before = ask_all(self._runners, look=self._low, all=True)
        if self._low == floor or same(before):
            return self._parting(before[0], pages)
        for runner, save in zip(self._runners, saves, strict=True):
            runner.back(save)
        self._granules, self._wrong = _differing_granules(before), None
        self._low, self._high = floor, self._low
        return self.run()

    def _parting(self, before: Answer, pages: Sequence[int]) -> Parting:
        left, right = ask_all(self._runners, look=self._high, all=True, bytes=pages)
        granules = _differing_granules((left, right))
        if not set(granules) <= {page // PAGES_IN_GRANULE for page in pages}:
            pages = self._differing_pages(granules)
            left, right = ask_all(self._runners, look=self._high, bytes=pages)
        return Parting(self._high, before, (left, right))

    def _differing_pages(self, granules: Sequence[int]) -> list[int]:
        """Pages of some MiBs that are not the same at the end of the stretch."""
        pages = [
            page for granule in granules for page in range(granule * PAGES_IN_GRANULE, (granule + 1) * PAGES_IN_GRANULE)
        ]
        a, b = (answer["pages"] for answer in ask_all(self._runners, look=self._high, pages=pages))
        return [number for number in pages if a[str(number)] != b[str(number)]][:MOST_PAGES]

    def _take(self, gap: Gap) -> None:
        self._low, self._high, self._wrong = gap.low, min(gap.high, self._high), gap.wrong
        if gap.looks:
            self._granules = _differing_granules(gap.looks)

    def _run_closer(self) -> None:
        """In shorter stretches, until it does not pay any more."""
        pace = self._pace
        while self._high - self._low > pace.looks:
            known = self._low, self._high
            step = -(-(self._high - self._low) // pace.stretches)
            gap = Course(self._runners, range(self._low + step, self._high, step), self._granules).run()
            if gap is None:
                self._low = self._runners[0].stands
            else:
                self._take(gap)
            if known == (self._low, self._high):
                return  # there is no sync point in between

    def _walk(self, pages: Sequence[int]) -> None:
        """To the last sync point where they are equal, by forks that look at several at a time."""
        while self._high - self._low > self._pace.steps:
            known = self._low, self._high
            step = -(-(self._high - self._low) // self._pace.steps)
            goals = list(range(self._low + step, self._high, step))
            rows = [answer["steps"] for answer in ask_all(self._runners, walk=goals, pages=pages)]
            for left, right in zip_longest(*rows):
                if left == right:
                    self._low = int(left[0])
                    continue
                # The sync point has been dealt with, unless it is where a run cannot go on.
                places = [int(row[0]) + (row[1] is not None) for row in (left, right) if row is not None]
                self._high = min(self._high, *places)
                break
            if self._low > known[0]:
                ask_all(self._runners, run_on=self._low)
            if known == (self._low, self._high):
                return

    def _look_closer(self, pages: Sequence[int]) -> None:
        """To the instruction."""
        while self._high - self._low > 1:
            middle = (self._low + self._high) // 2
            if same(ask_all(self._runners, look=middle, pages=pages)):
                self._low = middle
            else:
                self._high = middle


def _differing_granules(looks: Sequence[Answer]) -> list[int]:
    """MiBs of memory that are not the same, by looks at all of it."""
    left, right = (answer["granules"] for answer in looks)
    numbers = sorted(map(int, left | right))
    return [number for number in numbers if left.get(str(number)) != right.get(str(number))][:MOST_GRANULES]
