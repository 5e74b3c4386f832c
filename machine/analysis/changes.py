"""When some bytes of memory changed, as far as one look in every so many instructions tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from machine.analysis.base import Analysis
from machine.analysis.rows import Rows
from machine.analysis.words import range_of

if TYPE_CHECKING:
    from machine.analysis.base import Replayed


class Changes(Analysis):
    """`ADDRESS [SIZE]`, guest physical: rows of [behind this icount, at or before that one, bytes before, bytes after].

    What changes and changes back between two looks is not seen.
    """

    every: ClassVar[int] = 1 << 16

    def __init__(self, *words: str) -> None:
        self.about = self._address, self._size = range_of("changes", words)
        self._rows = Rows("changes")
        self._first = self._last = b""
        self._looked = 0

    def begin(self, machine: Replayed) -> None:
        """What is there."""
        self._first = self._last = machine.read(self._address, self._size)
        self._looked = machine.icount

    def look(self, machine: Replayed) -> None:
        """What is there now."""
        now = machine.read(self._address, self._size)
        if now != self._last:
            self._rows.add(machine.icount, [self._looked, machine.icount, self._last.hex(), now.hex()], 2 * self._size)
        self._last, self._looked = now, machine.icount

    def end(self, machine: Replayed) -> Any:  # noqa: ANN401  # JSON
        """This part's rows."""
        self.look(machine)
        return self._rows.all

    def combine(self, parts: Sequence[Any]) -> Any:  # noqa: ANN401  # JSON
        """All rows: where one part ends the next begins, with the same memory."""
        return [row for part in parts for row in part]
