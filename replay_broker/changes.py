"""Backends that are changed while the machine runs: who has asked for it, and which are there now.

Lives here: the questions under way.  Never here: sockets, what a backend is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from machine.errors import RemoteWireError
from machine.message import BackendChanged, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from replay_broker.session.base import Session

    Done = Callable[[str], None]


class BackendChanges:
    """By device: changes that have been asked of its process and not been answered, in order."""

    def __init__(self) -> None:
        self.backends: dict[str, str] = {}
        """Backends that are other ones than the board says, by device."""
        self._asked: dict[str, deque[tuple[str, Done]]] = defaultdict(deque)

    def words(self, session: Session | None) -> dict[str, str]:
        """Every device's backend, as it is now."""
        return ({} if session is None else session.board.backends) | self.backends

    def ask(self, node: str, word: str, done: Done) -> None:
        """A device has been asked; `done` hears why it did not, or ""."""
        self._asked[node].append((word, done))

    def hear(self, node: str, answer: Message) -> None:
        """A device has answered; RemoteWireError if nobody had asked it."""
        assert isinstance(answer, BackendChanged)
        if not self._asked[node]:
            raise RemoteWireError(f"{node} changed a backend that nobody asked it to")
        word, done = self._asked[node].popleft()
        if not answer.error:
            self.backends[node] = word
        done(answer.error)

    def give_up_on(self, node: str, reason: str) -> None:
        """One device will not answer."""
        asked = self._asked[node]
        while asked:
            asked.popleft()[1](reason)

    def give_up(self, reason: str) -> None:
        """Nobody will answer any more."""
        for node in list(self._asked):
            self.give_up_on(node, reason)
