"""Who wrote to some bytes of memory: every write, by an instruction or a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from machine.analysis.base import Analysis, Write
from machine.analysis.rows import Rows
from machine.analysis.words import range_of

if TYPE_CHECKING:
    from machine.analysis.base import Replayed


class Writes(Analysis):
    """`ADDRESS [SIZE]`, guest physical: rows of [icount, pc, device or "", the bytes behind the write].

    `icount` and `pc` are those in front of the instruction; a device's write has those where the CPU stood.
    """

    def __init__(self, *words: str) -> None:
        self.watched = self._address, self._size = range_of("writes", words)
        self._rows = Rows("writes")

    def written(self, machine: Replayed, write: Write) -> None:
        """One more."""
        row = [write.icount, write.pc, write.device, machine.read(self._address, self._size).hex()]
        self._rows.add(write.icount, row, self._size)

    def end(self, machine: Replayed) -> Any:  # noqa: ANN401  # JSON
        """This part's rows."""
        return self._rows.all

    def combine(self, parts: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
        """All rows."""
        return [row for part in parts for row in part]
