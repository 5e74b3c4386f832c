"""Where two replays of one recording part: first the stretch, then the instruction.

Theory of operation.  Both run side by side, a stretch at a time; behind each stretch registers and all memory are
compared, and while they are equal both save themselves.  Behind the first stretch that differs both go back to what
they saved, and the stretch is halved again and again, comparing only registers and the pages found to differ: while
halves are long both run on to a sync point and, if they are equal there, save themselves again, so no half is run
twice; what is left is looked into by forks.  At the end everything is compared once more in front of the instruction
that was found: pages that differed earlier and then no more send the search to the earlier place.

So each replay runs the recording once, and one stretch a second time; a message that only one of them has wrong costs
the stretch once more, to see whether the machines were equal in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.bisection.runner import Answer, ask_all
from machine.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    looks: int = 1 << 21
    """From so many instructions on a half is looked into by forks."""

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


def find_parting(runners: Sequence[Runner], end: int, pace: Pace = PACE) -> Parting | LogParting | None:
    """Where the runners part from each other or from the log; None if they do not.

    One runner alone is compared with the log only.
    """
    low = max(int(runner.take()["icount"]) for runner in runners)
    stretch = pace.stretch(low, end)
    ask_all(runners, save=True)
    while True:
        ran = ask_all(runners, run_on=low + stretch)
        parted = [answer for answer in ran if "divergence" in answer]
        if parted:
            ask_all(runners, restore=True)
            return _at_a_message(runners, low, parted, pace)
        if len(runners) > 1 and not _equal_here(runners, ran):
            return _back_and_narrow(runners, low, ran, pace)
        if not ran[0]["more"] or ran[0]["icount"] >= end:
            return None
        low = ran[0]["icount"]
        ask_all(runners, save=True)


def _wrong_message(runner: Runner, parted: Answer) -> LogParting:
    """The first difference from the log, and the machine in front of it, as far as it comes."""
    icount = _place(parted)
    try:
        before = runner.ask(look=icount)
    except MachineError:
        before = None
    if before is not None and before["icount"] != icount:
        before = None
    return LogParting(icount, str(parted["divergence"]), before)


def _place(parted: Answer) -> int:
    """A message that is missing is missed at the stamp of the next one; the CPU waits for it before that."""
    return min(int(parted["at"]), int(parted["icount"]))


def _at_a_message(runners: Sequence[Runner], low: int, parted: Sequence[Answer], pace: Pace) -> Parting | LogParting:
    """A run has said something else than was recorded.  If the other has not, it was different before."""
    first = min(parted, key=_place)
    if len(parted) == len(runners):
        return _wrong_message(runners[0], first)
    icount = _place(first)
    if icount - pace.looks > low:
        ask_all(runners, save=True)
        ran = ask_all(runners, run_on=icount - pace.looks)
        if not _equal_here(runners, ran):
            return _back_and_narrow(runners, low, ran, pace)
        low = int(ran[0]["icount"])
    looks = ask_all(runners, look=icount, all=True)
    if not _same(looks):
        return _narrow(runners, low, icount, _differing_pages(runners, icount, looks), pace)
    return LogParting(icount, str(first["divergence"]), looks[0])


def _equal_here(runners: Sequence[Runner], ran: Sequence[Answer]) -> bool:
    """Whether they are the same machine where they stand."""
    return _same(ran) and _same(ask_all(runners, look=None, all=True))


def _back_and_narrow(runners: Sequence[Runner], low: int, ran: Sequence[Answer], pace: Pace) -> Parting:
    """They differ where they stand, and were saved at `low`, where they did not."""
    pages = _differing_pages(runners, None, ask_all(runners, look=None, all=True))
    ask_all(runners, restore=True)
    # The sync point where they stood has been dealt with; an exact look sees that one instruction later.
    return _narrow(runners, low, max(int(answer["icount"]) for answer in ran) + 1, pages, pace)


def _narrow(runners: Sequence[Runner], low: int, high: int, pages: list[int], pace: Pace) -> Parting:
    """The runners stand at `low` and are equal; at `high` they differ.  The instruction in between."""
    floor = low
    ask_all(runners, save=True)
    low, high, saves = _run_closer(runners, low, high, pages, pace)
    while high - low > 1:
        middle = (low + high) // 2
        if _same(ask_all(runners, look=middle, pages=pages)):
            low = middle
        else:
            high = middle
    before = ask_all(runners, look=low, all=True)
    if low > floor and not _same(before):
        pages = _differing_pages(runners, low, before)
        for _ in range(saves + 1):
            ask_all(runners, restore=True)
        return _narrow(runners, floor, low, pages, pace)
    shown = _differing_pages(runners, high, ask_all(runners, look=high, all=True))
    full = ask_all(runners, look=high, pages=shown, bytes=shown)
    return Parting(high, before[0], (full[0], full[1]))


def _run_closer(runners: Sequence[Runner], low: int, high: int, pages: list[int], pace: Pace) -> tuple[int, int, int]:
    """Halve while it pays to run on; where the runners stand, equal, where they differ, and how often they saved."""
    saves = 0
    while high - low > pace.looks:
        ask_all(runners, save=True)
        ran = ask_all(runners, run_on=(low + high) // 2)
        parted = [_place(answer) for answer in ran if "divergence" in answer]
        if not parted and _same(ran, ask_all(runners, look=None, pages=pages)):
            low, saves = int(ran[0]["icount"]), saves + 1
            continue
        ask_all(runners, restore=True)
        reached = min(parted) if parted else max(int(answer["icount"]) for answer in ran) + 1
        if reached >= high:  # there was no sync point in between
            break
        high = reached
    return low, high, saves


def _same(*answers: Sequence[Answer]) -> bool:
    """Whether all runners gave the same answer, to each of some requests."""
    keys = ("icount", "registers", "pages", "granules")
    return all(row[0].get(key) == other.get(key) for row in answers if row for other in row[1:] for key in keys)


def _differing_pages(runners: Sequence[Runner], icount: int | None, looks: Sequence[Answer]) -> list[int]:
    """Pages that are not the same at an instruction, or where the runners stand, by looks at all of memory there."""
    left, right = (answer["granules"] for answer in looks)
    granules = [number for number, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]]
    pages = [
        page
        for granule in granules[:MOST_GRANULES]
        for page in range(granule * PAGES_IN_GRANULE, (granule + 1) * PAGES_IN_GRANULE)
    ]
    a, b = (answer["pages"] for answer in ask_all(runners, look=icount, pages=pages))
    return [number for number in pages if a[str(number)] != b[str(number)]][:MOST_PAGES]
