"""Which instructions were executed: blocks by virtual address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from machine.analysis.base import Analysis

if TYPE_CHECKING:
    from machine.analysis.base import Replayed


class Coverage(Analysis):
    """The executed stretches of code, joined: [first address, address behind the last] by address."""

    def begin(self, machine: Replayed) -> None:
        """Note blocks from here on."""
        machine.cover()

    def end(self, machine: Replayed) -> Any:  # noqa: ANN401  # JSON
        """This part's stretches."""
        return join([(pc, pc + size) for pc, size in machine.covered()])

    def combine(self, parts: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
        """The stretches of all parts."""
        return join([(int(start), int(end)) for part in parts for start, end in part])


def join(stretches: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The same addresses in as few stretches as can be."""
    joined: list[list[int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return joined
