"""Which parts a recording is replayed in; pure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Segment:
    """A part: snapshots by number, 0 for power-on and for the end; and the icounts they are at."""

    first: int
    last: int
    start_icount: int
    end_icount: int


def plan_segments(snapshots: Sequence[tuple[int, int]], end_icount: int, parts: int) -> tuple[Segment, ...]:
    """At most `parts` segments that together are the whole recording, about as long as each other.

    `snapshots` are (icount, number), in any order.  Those at power-on or at the end cut nothing off.
    """
    inner = sorted({icount: number for icount, number in snapshots if 0 < icount < end_icount}.items())
    chosen: list[tuple[int, int]] = []
    for part in range(1, parts):
        wanted = end_icount * part // parts
        behind = [cut for cut in inner if not chosen or cut[0] > chosen[-1][0]]
        if behind:
            chosen.append(min(behind, key=lambda cut: abs(cut[0] - wanted)))
    marks = [(0, 0), *chosen, (end_icount, 0)]
    return tuple(Segment(first, last, start, end) for (start, first), (end, last) in itertools.pairwise(marks))
