"""The rows of an answer that has more of them the longer a guest runs."""

from __future__ import annotations

from typing import Any, Final

from machine.errors import UsageError

MOST_BYTES: Final = 1 << 28
"""Of a part's rows, as JSON: what holds them in memory several times, and sends them, has room for that."""
_ROW_BYTES: Final = 200
"""What a row has beside the guest's bytes, in Python."""


class Rows:
    """Those of one part."""

    def __init__(self, name: str) -> None:
        """`name`: the analysis's."""
        self._name = name
        self.all: list[list[Any]] = []
        self._bytes = 0

    def add(self, icount: int, row: list[Any], shown: int) -> None:
        """One more, with so many of the guest's bytes in it, two digits each; UsageError where there are too many."""
        self._bytes += _ROW_BYTES + 2 * shown
        if self._bytes > MOST_BYTES:
            raise UsageError(
                f"{self._name}: {len(self.all):,} rows up to instruction {icount:,} are as many as fit; "
                "ask for fewer bytes, or ask a part of the recording (dejavm cut)"
            )
        self.all.append(row)
