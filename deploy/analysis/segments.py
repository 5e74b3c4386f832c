"""Which parts a recording is replayed in; pure."""

from __future__ import annotations

import itertools
import statistics
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

INSTRUCTION_NS: Final = 1.5
"""What an instruction takes, one with the other."""
LEAST_NS: Final = 0.5
MOST_NS: Final = 20
"""What an instruction takes, translated anew or not; what took longer was waiting."""
ANSWER_NS: Final = 70_000
"""From the last message of a stop to when the guest runs on, while it is recorded."""
MESSAGE_NS: Final = 25_000
"""What a message takes while it is replayed from the log."""
PAGE_NS: Final = 1_500
"""What it takes to load a page of a snapshot, less what the part before it takes to compare it."""
ENDING_NS: Final = 2_500
"""What it takes to hash a page at the recording's end, which the last part has alone."""
ANEW_NS: Final = 95_000_000
"""What is given to each part but the first beside that where a recording's clock tells the work: most of it is the hash
at the end, which is not in the log."""
STEADY: Final = 1.05
"""How much longer than foretold a stretch may have taken that nothing else on the host has held up."""
HELD_UP: Final = 2
"""How many times as long nothing else on the host can have made it: there the guest was harder than foretold."""
LEAST_PART: Final = 5_000_000_000
"""The work of a part that is worth its beginning, which is 0.2 s of a Debian guest."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part: snapshots by number, 0 for power-on and for the end; and the icounts they are at."""

    first: int
    last: int
    start_icount: int
    end_icount: int


class Work:
    """How much a replay has to do up to an instruction, told from when the recording's messages were written down.

    A guest that touches new code and new memory takes five times as long for an instruction as one in a loop, in the
    recording as in its replay.  Where there are messages, the recording waits for other processes, and its replay reads
    the log.
    """

    def __init__(self, moments: Iterable[tuple[int, int]]) -> None:
        """`moments`: an instruction count and the host's clock there in ns, in order."""
        self._icounts: list[int] = []
        self._done: list[int] = []
        before_ns = messages = 0
        for icount, host_ns in moments:
            if not self._icounts:
                self._icounts, self._done = [icount], [0]
            elif icount > self._icounts[-1]:
                instructions = icount - self._icounts[-1]
                ran_ns = host_ns - before_ns - ANSWER_NS
                took = min(max(ran_ns, int(LEAST_NS * instructions)), MOST_NS * instructions) + MESSAGE_NS * messages
                self._icounts.append(icount)
                self._done.append(self._done[-1] + took)
                messages = 0
            messages += 1
            before_ns = host_ns

    def until(self, icount: int) -> int:
        """The work up to an instruction count; in no unit; before the first message there is none."""
        at = bisect_right(self._icounts, icount) - 1
        if at < 0:
            return 0
        start, done = self._icounts[at], self._done[at]
        if at + 1 == len(self._icounts):
            return done + int(LEAST_NS * (icount - start))
        return done + (self._done[at + 1] - done) * (icount - start) // (self._icounts[at + 1] - start)


class Measured:
    """How much work a replay has to do up to an instruction, where some snapshots say how much a replay has had.

    Between them, and behind the last, it is shared out as another measure says.  That one may be wrong by a tenth: a
    recording's clock tells of the host that it was made on, too.
    """

    def __init__(self, measured: Iterable[tuple[int, int]], other: Callable[[int], int]) -> None:
        """`measured`: an instruction count and the work up to there, in any order, none of them 0."""
        self._other = other
        self._icounts, self._others, self._done = _growing(measured, other)

    def until(self, icount: int) -> int:
        """The work up to an instruction count; in no unit."""
        at = bisect_right(self._icounts, icount) - 1
        further = max(0, self._other(icount) - self._others[at])
        if at + 1 < len(self._icounts):
            done, other = (column[at + 1] - column[at] for column in (self._done, self._others))
        else:
            done, other = self._done[at], max(1, self._others[at])
        return self._done[at] + done * further // other


def steadied(measured: Iterable[tuple[int, int]], other: Callable[[int], int]) -> list[tuple[int, int]]:
    """What was measured once, without what else the host had to do meanwhile.

    Where a neighbour on the same core comes for half a second the replay takes up to 1.6 times as long, in its own CPU
    time, too; nothing tells of it but that another measure has foretold less.  That one is wrong elsewhere, by tenths,
    but not in a few stretches only: of each no more is believed than is usual for it, by the median of all.  Only much
    more than that is its own.
    """
    icounts, others, done = _growing(measured, other)
    taken = [
        (later - sooner, b - a)
        for (sooner, later), (a, b) in zip(itertools.pairwise(done), itertools.pairwise(others), strict=True)
    ]
    if not taken:
        return []
    most = STEADY * statistics.median(took / foretold for took, foretold in taken)
    believed = (
        int(most * foretold) if most * foretold < took < HELD_UP * most * foretold else took for took, foretold in taken
    )
    return list(zip(icounts[1:], itertools.accumulate(believed), strict=True))


def _growing(
    measured: Iterable[tuple[int, int]], other: Callable[[int], int]
) -> tuple[list[int], list[int], list[int]]:
    """Instruction counts, the other measure and the work there, from nothing on.

    What has been measured by two replays need not grow; what does not is left out.
    """
    icounts, others, done = [0], [0], [0]
    for icount, work in sorted(measured):
        if work > done[-1] and other(icount) > others[-1]:
            icounts.append(icount)
            others.append(other(icount))
            done.append(work)
    return icounts, others, done


def counted(beginning: tuple[int, int], behind: Iterable[tuple[int, int]]) -> Measured:
    """How much work a replay has to do up to an instruction, told by how many messages there are up to some of them.

    A log of millions of messages need not be read for it: each snapshot says how many were in front of it.  An
    instruction count and the messages up to there: where the recording begins, and further ones in any order.
    """
    begin, before = beginning
    return Measured(
        (
            (icount, int(INSTRUCTION_NS * (icount - begin)) + MESSAGE_NS * (messages - before))
            for icount, messages in behind
        ),
        lambda icount: max(0, icount - begin),
    )


def weights_of(at_a_time: int, work: int) -> tuple[int, ...]:
    """How the work is shared out to parts, of which so many are replayed at a time, in order.

    A part each where there is little.  Of more, each has a second that is half as large, and so on: how long a part
    takes is foretold, and hosts differ, but whoever is done early goes on with what is left.  Guided self-scheduling
    (Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987), in steps.
    """
    if at_a_time == 1:
        return (1,)
    rounds = max(1, (work // (at_a_time * LEAST_PART) + 1).bit_length() - 1)
    return tuple(1 << left for left in reversed(range(rounds)) for _ in range(at_a_time))


def plan_segments(
    snapshots: Sequence[tuple[int, int]],
    end_icount: int,
    weights: Sequence[int],
    work: Callable[[int], int] = int,
    beginning: int = 0,
) -> tuple[Segment, ...]:
    """Segments that together are the whole recording: one for each weight, about that share of the work; or fewer.

    `snapshots` are (icount, number), in any order.  Those at power-on or at the end cut nothing off.  `work` says how
    much there is up to an instruction count, and `beginning` is what each part but the first has to do before its first
    instruction.
    """
    inner = sorted({icount: number for icount, number in snapshots if 0 < icount < end_icount}.items())
    chosen: list[tuple[int, int]] = []
    parts, whole = len(weights), sum(weights)
    total = work(end_icount) + beginning * (parts - 1)
    for part, share in enumerate(itertools.accumulate(weights[:-1]), 1):
        wanted = total * share // whole - beginning * (part - 1)
        behind = [cut for cut in inner if not chosen or cut[0] > chosen[-1][0]]
        # Each part behind this one needs a snapshot, too.
        behind = behind[: max(1, len(behind) - (parts - 1 - part))]
        if behind:
            chosen.append(min(behind, key=lambda cut: abs(work(cut[0]) - wanted)))
    marks = [(0, 0), *chosen, (end_icount, 0)]
    return tuple(Segment(first, last, start, end) for (start, first), (end, last) in itertools.pairwise(marks))
