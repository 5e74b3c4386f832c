"""Backends that are changed while the machine runs: who has asked for it, and which are there now.

A broker that goes on with a recording whose broker has died must know them, and no log has them: they are written down
in the running machine's directory.

Lives here: the questions under way, and that file.  Never here: sockets, what a backend is.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from machine.errors import MachineError, RemoteWireError
from machine.message import BackendChanged, Message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from replay_broker.session.base import Session

    Done = Callable[[str], None]

KEPT: Final = "backends"
"""The file's name."""
log = logging.getLogger("dejavm")


class BackendChanges:
    """By device: changes that have been asked of its process and not been answered, in order."""

    def __init__(self) -> None:
        self.backends: dict[str, str] = {}
        """Backends that are other ones than the board says, by device."""
        self._since: dict[str, int] = {}
        """The message behind which each of them came."""
        self._path: Path | None = None
        self._asked: dict[str, deque[tuple[str, Done]]] = defaultdict(deque)

    def keep(self, directory: Path, behind: int | None = None) -> None:
        """Write them down there from now on.  MachineError.

        Where another broker is gone on with, behind that message, begin with what it has written.
        """
        self._path = directory / KEPT
        try:
            if behind is None:
                self._path.unlink(missing_ok=True)
            elif self._path.exists():
                known = json.loads(self._path.read_text())
                self.backends = {node: str(word) for node, (word, _) in known.items()}
                # One that came in the lost instant is there for all that has its numbers now.
                self._since = {node: min(int(seq), behind) for node, (_, seq) in known.items()}
                self._write()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise MachineError(f"{self._path}: cannot know which backends were changed: {error}") from error

    def since(self, node: str) -> tuple[str, int]:
        """A device's backend that is another one than the board says, and the message behind which it came; ("", 0)."""
        return self.backends.get(node, ""), self._since.get(node, 0)

    def words(self, session: Session | None) -> dict[str, str]:
        """Every device's backend, as it is now."""
        return ({} if session is None else session.board.backends) | self.backends

    def ask(self, node: str, word: str, done: Done) -> None:
        """A device has been asked; `done` hears why it did not, or ""."""
        self._asked[node].append((word, done))

    def hear(self, node: str, answer: Message, seq: int) -> None:
        """A device has answered, behind message `seq`; RemoteWireError if nobody had asked it."""
        assert isinstance(answer, BackendChanged)
        if not self._asked[node]:
            raise RemoteWireError(f"{node} changed a backend that nobody asked it to")
        word, done = self._asked[node].popleft()
        if not answer.error:
            self.backends[node], self._since[node] = word, self._since.get(node, 0) if answer.stays else seq
            self._write()
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

    def _write(self) -> None:
        """All or nothing; the change itself has been made."""
        if self._path is None:
            return
        part = self._path.with_suffix(".next")
        try:
            part.write_text(json.dumps({node: (word, self._since[node]) for node, word in self.backends.items()}))
            part.replace(self._path)
        except OSError as error:
            log.warning(
                "%s: cannot write down which backends were changed, so a killed broker would forget it: %s",
                self._path, error.strerror,
            )  # fmt: skip
