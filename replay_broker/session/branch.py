"""Recording a branch: a run that begins where another recording has been left, not at power-on.

Lives here: how it begins.  Never here: how it goes on (record.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import CPU
from replay_broker.services import Services
from replay_broker.session.debugged import DebuggedSession

if TYPE_CHECKING:
    from machine.board import Board
    from machine.frame import Frame
    from machine.recording.facts import Parent
    from replay_broker.ledger import Ledger
    from replay_broker.session.base import Send


class BranchSession(DebuggedSession):
    """Every node has been put into its state behind the parent's message `seq`; the ledger goes on from there."""

    name = "branch"

    def __init__(self, board: Board, send: Send, ledger: Ledger, parent: Parent, *, reboots: bool = True) -> None:
        super().__init__(board, send, ledger, reboots=reboots)
        self._begins_at = self.icount = parent.icount
        self._clock.idle_ns = parent.idle_ns
        self._services = Services(board, parent.seq)

    def start(self) -> None:
        """Nobody is reset.  The CPU asks where it stands, for what backends have brought meanwhile."""
        self._kicked = True
        self.send(m.Grant(until_icount=self._begins_at), CPU, self.icount)

    def _on_host_input(self, frame: Frame) -> None:
        """What a device's process brings before it has heard anything comes from where the branch begins."""
        super()._on_host_input(frame._replace(icount=max(frame.icount, self._begins_at)))
