"""Which snapshots a recording can do without, so that their number grows with the logarithm of the run.

Theory of operation.  A snapshot's age is how many instructions before the newest it was made.  Time is laid out in
cells of a power of two, aligned to 0; the older a snapshot, the wider its cell: of density d, one of age a with
2^k <= a < 2^(k+1) has cells of 2^(k-d) instructions, at least 1.  From the oldest on, a snapshot is kept unless the
last one kept before it lies in the same cell.

Cells only grow, and a wider cell holds its narrower ones whole: what gave way to one that gives way itself lies in the
cell of the one that stays.  So however often and whenever thinning is done, for each snapshot that was ever made at s,
with the newest at e, one at j <= s is kept with

    s - j <= (e - s) / (2^d - 1)

and there are never more than (2^d + 1) * (floor(log2(e - first)) + 1) + 2 that nobody has named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Sequence

DENSITY: Final = 5
"""32 cells in each doubling of the age: going back a minutes means to run at most 1/31 of them again."""
SPARSEST: Final = -64
"""Of this density one cell holds everything that a 64-bit icount can tell."""


def to_drop(
    icounts: Sequence[int],
    sizes: Sequence[int],
    budget: int | None,
    named: Collection[int] = (),
    kinds: Sequence[Hashable] | None = None,
) -> tuple[int, ...]:
    """The places in `icounts`, which ascend, of the snapshots to drop.

    Never one of the places in `named`, never the last.  A snapshot gives way only to one of the same kind (`kinds`
    says, for each place, which it is; None: all are alike).  The rest is what density DENSITY keeps or, where the
    `sizes` of that come to more bytes than `budget`, the highest lower density with which it fits; where none does,
    nothing but the named ones and the last stays.
    """
    for density in range(DENSITY, SPARSEST - 1, -1):
        kept = _kept(icounts, density, named, kinds)
        if budget is None or sum(sizes[place] for place in kept) <= budget:
            break
    else:
        kept = {*named, len(icounts) - 1}
    return tuple(place for place in range(len(icounts)) if place not in kept)


def most_kept(span: int, density: int = DENSITY) -> int:
    """How many snapshots of one kind that nobody has named are kept at most, of a run of `span` instructions."""
    return ((1 << density) + 1) * max(1, span.bit_length()) + 2


def _kept(icounts: Sequence[int], density: int, named: Collection[int], kinds: Sequence[Hashable] | None) -> set[int]:
    last_kept: dict[Hashable, int] = {}
    kept: set[int] = set()
    newest = len(icounts) - 1
    for place, icount in enumerate(icounts):
        shift = max(0, (icounts[newest] - icount).bit_length() - 1 - density)
        kind = kinds[place] if kinds is not None else None
        before = last_kept.get(kind)
        if before is None or before >> shift != icount >> shift or place in named or place == newest:
            kept.add(place)
            last_kept[kind] = icount
    return kept
