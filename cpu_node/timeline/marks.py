"""Processes that stand along a recording: many near where somebody looks, fewer far from it."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cpu_node.timeline.replica import Replica

MOST: Final = 24


class Marks:
    """The first stands at power-on, and stays."""

    def __init__(self, origin: Replica) -> None:
        self._marks = [origin]

    def add(self, mark: Replica, present: int) -> None:
        """Keep a process that stands at a sync point; one that stands there already is enough."""
        if any(known.icount == mark.icount for known in self._marks):
            mark.end()
            return
        insort(self._marks, mark, key=lambda known: known.icount)
        self.thin(present)

    def before(self, icount: int) -> Replica:
        """The last one from which an instruction can be reached: what happens at a mark has happened there."""
        return next((mark for mark in reversed(self._marks) if mark.icount < icount), self._marks[0])

    def all_before(self, icount: int) -> list[Replica]:
        """Every one in front of an instruction, in order."""
        return [self._marks[0], *(mark for mark in self._marks[1:] if mark.icount < icount)]

    def thin(self, present: int) -> None:
        """Give up those whose absence is felt least: a small gap far away."""
        while len(self._marks) > MOST:
            index = min(range(1, len(self._marks)), key=lambda i: self._felt(i, present))
            self._marks.pop(index).end()

    def close(self) -> None:
        """End all."""
        for mark in self._marks:
            mark.end()

    def _felt(self, index: int, present: int) -> float:
        before = self._marks[index - 1].icount
        behind = self._marks[index + 1].icount if index + 1 < len(self._marks) else self._marks[index].icount + 1
        return (behind - before) / (1 + abs(present - self._marks[index].icount))
