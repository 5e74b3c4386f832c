"""Where two replays of one recording part: first the stretch, then the instruction.

Theory of operation.  Both run side by side, a stretch at a time; behind each stretch registers and all memory are
compared, and while they are equal both save themselves.  Behind the first stretch that differs both go back to what
they saved and the stretch is halved again and again, comparing only registers and the pages found to differ.  Both
follow behind: where they were equal they need not begin again, so the halving costs no more than the stretch once
more.  At the end everything is compared once more in front of the instruction that was found: pages that differed
earlier and then no more send the search to the earlier place.

A comparison of everything costs as much as some 50 million instructions; with STRETCHES of them, and a stretch or two
that are run again, a search takes less than twice the time of the replay it looks at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.bisection.runner import Answer, ask_all
from machine.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.bisection.runner import Runner

STRETCHES: Final = 8
"""How often everything is compared, in a recording that is long enough."""
SHORTEST: Final = 1 << 26
"""Instructions of a stretch at least."""
FOLLOW: Final = 1 << 21
"""Instructions that are worth following for."""
BEHIND: Final = 1 << 14
"""How far behind a place to look at one follows: there is a sync point in so many instructions."""
MOST_PAGES: Final = 64
"""Pages that are followed; where more differ the first are as good as any."""


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


def find_parting(runners: Sequence[Runner], end: int) -> Parting | LogParting | None:
    """Where the runners part from each other or from the log; None if they do not."""
    low = max(int(runner.take()["icount"]) for runner in runners)
    saved = _save(runners)
    stretch = max(SHORTEST, (end - low) // STRETCHES)
    while True:
        goal = low + stretch
        ran = ask_all(runners, run_on=goal)
        parted = [answer for answer in ran if "divergence" in answer]
        if parted:
            ask_all(runners, restore=True)
            return _at_a_message(runners, low, parted)
        looks = ask_all(runners, look=None, whole=True)
        if not _same(*looks) or ran[0]["icount"] != ran[1]["icount"]:
            pages = _differing_pages(*ask_all(runners, look=None))
            ask_all(runners, restore=True)
            return _narrow(runners, low, max(answer["icount"] for answer in ran), pages)
        if not ran[0]["more"] or ran[0]["icount"] >= end:
            return None
        low = ran[0]["icount"]
        saved = _save(runners, saved)


def find_wrong_message(runner: Runner, end: int) -> LogParting | None:
    """Where one replay is not what was recorded; None if it is.  Takes the time of a replay."""
    low = int(runner.take()["icount"])
    saved = _save([runner])
    stretch = max(SHORTEST, (end - low) // STRETCHES)
    while True:
        ran = runner.ask(run_on=low + stretch)
        if "divergence" in ran:
            runner.ask(restore=True)
            return _wrong_message(runner, ran)
        if not ran["more"] or ran["icount"] >= end:
            return None
        low = int(ran["icount"])
        saved = _save([runner], saved)


def _wrong_message(runner: Runner, parted: Answer) -> LogParting:
    """The first difference from the log, and the machine in front of it, as far as it comes."""
    # A message that is missing is missed at the stamp of the next one; the CPU waits for it before that.
    icount = min(int(parted["at"]), int(parted["icount"]))
    try:
        before = runner.ask(look=icount, pages=[])
    except MachineError:
        before = None
    if before is not None and before["icount"] != icount:
        before = None
    return LogParting(icount, str(parted["divergence"]), before)


def _save(runners: Sequence[Runner], older: Sequence[int] = ()) -> list[int]:
    """Save all, and give up what was saved before."""
    saved = [int(answer["saved"]) for answer in ask_all(runners, save=True)]
    for runner, process in zip(runners, older, strict=False):
        runner.ask(forget=process)
    return saved


def _narrow(runners: Sequence[Runner], low: int, high: int, pages: list[int]) -> Parting:
    """The runners stand at `low` and are equal; at `high` they differ.  The instruction in between."""
    floor = at = low
    ask_all(runners, save=True)
    while high - low > 1:
        middle = (low + high) // 2
        looks = ask_all(runners, look=middle, pages=pages)
        if _same(*looks):
            low = middle
            at = _follow(runners, at, low)
        else:
            high = middle
    before = ask_all(runners, look=low)
    if low > floor and not _same(*before):
        ask_all(runners, restore=True)
        return _narrow(runners, floor, low, _differing_pages(*before))
    shown = _differing_pages(*ask_all(runners, look=high))
    full = ask_all(runners, look=high, pages=shown, bytes=shown)
    return Parting(high, before[0], (full[0], full[1]))


def _follow(runners: Sequence[Runner], at: int, low: int) -> int:
    """Let the runners, which stand at `at`, come up to a little in front of `low`; where they are then."""
    if low - at < FOLLOW:
        return at
    places = {int(answer["icount"]) for answer in ask_all(runners, run_on=low - BEHIND)}
    if len(places) > 1 or max(places) > low:
        raise MachineError(f"the replays cannot be stopped together in front of instruction {low}")
    return places.pop()


def _at_a_message(runners: Sequence[Runner], low: int, parted: Sequence[Answer]) -> Parting | LogParting:
    """A run has said something else than was recorded.  If the other has not, it was different before."""
    first = min(parted, key=lambda answer: int(answer["at"]))
    if len(parted) == len(runners):
        return _wrong_message(runners[0], first)
    icount = min(int(first["at"]), int(first["icount"]))
    looks = ask_all(runners, look=icount)
    if not _same(*looks):
        return _narrow(runners, low, icount, _differing_pages(*looks))
    return LogParting(icount, str(first["divergence"]), looks[0])


def _same(left: Answer, right: Answer) -> bool:
    return all(left[key] == right[key] for key in ("icount", "registers", "pages", "memory"))


def _differing_pages(left: Answer, right: Answer) -> list[int]:
    """Pages whose digests differ, or that only one has."""
    a, b = left["pages"], right["pages"]
    found = sorted(int(number) for number in {*a, *b} if a.get(number) != b.get(number))
    return found[:MOST_PAGES]
