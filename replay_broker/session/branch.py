"""Recording on from a saved state: a branch, or a recording whose broker has died.

Lives here: how such a run begins.  Never here: how it goes on (record.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from machine import message as m
from machine.codec import encode
from machine.icount import CPU
from replay_broker.services import Services
from replay_broker.session.lasting import LastingSession

if TYPE_CHECKING:
    from machine.board import Board
    from machine.frame import Frame
    from replay_broker.ledger import Ledger
    from replay_broker.session.base import Send


@dataclass(frozen=True, slots=True)
class Beginning:
    """Behind message `seq`, at instruction `icount`, the guest having slept for `idle_ns` of virtual time.

    `released` are inputs by device, for its first sync point: they let go of keys that are down (held.py).
    """

    seq: int
    icount: int
    idle_ns: int
    released: tuple[tuple[int, m.HostInput], ...] = ()


class BranchSession(LastingSession):
    """Every node has been put into its state at the beginning; the ledger goes on from there."""

    name = "branch"

    def __init__(self, board: Board, send: Send, ledger: Ledger, beginning: Beginning, *, reboots: bool = True) -> None:
        super().__init__(board, send, ledger, reboots=reboots)
        self._begins_at = self.icount = beginning.icount
        self._clock.idle_ns = beginning.idle_ns
        self._services = Services(board, beginning.seq)
        self._released = beginning.released
        self._placed = True
        """The CPU has been put where it stands, and has not been told how far to run."""

    def start(self) -> None:
        """Nobody is reset.  The CPU asks where it stands, for what backends have brought meanwhile."""
        self._kicked = True
        self.send(m.Grant(until_icount=self._begins_at), CPU, self.icount)
        for node, message in self._released:
            self.submit(node, message)

    def _on_sync(self, frame: Frame) -> None:
        """The first is answered at once, though the guest may sleep: it is at a place that was named.

        There the CPU waits as in a replay, for what comes next; it could not tell its state, and who wants that would
        wait for the guest to wake, and the guest for them.
        """
        if self._placed:
            self._placed = False
            frame = frame._replace(payload=encode(m.Sync()))
        super()._on_sync(frame)

    def _on_host_input(self, frame: Frame) -> None:
        """What a device's process brings before it has heard anything comes from where this begins."""
        super()._on_host_input(frame._replace(icount=max(frame.icount, self._begins_at)))
