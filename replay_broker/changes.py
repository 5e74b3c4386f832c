"""Backends that are changed while the machine runs: who has asked for it, and which are there now.

Lives here: the questions under way.  Never here: sockets, what a backend is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[str], None]


class BackendChanges:
    """By device: changes that have been asked of its process and not been answered, in order."""

    def __init__(self) -> None:
        self.backends: dict[str, str] = {}
        """Backends that are other ones than the board says, by device."""
        self._asked: dict[str, deque[tuple[str, Done]]] = defaultdict(deque)

    def ask(self, node: str, word: str, done: Done) -> None:
        """A device has been asked; `done` hears why it did not, or ""."""
        self._asked[node].append((word, done))

    def answered(self, node: str, error: str) -> bool:
        """A device has answered; False if nobody had asked it."""
        if not self._asked[node]:
            return False
        word, done = self._asked[node].popleft()
        if not error:
            self.backends[node] = word
        done(error)
        return True

    def give_up(self, reason: str) -> None:
        """Nobody will answer any more."""
        for asked in self._asked.values():
            while asked:
                asked.popleft()[1](reason)
