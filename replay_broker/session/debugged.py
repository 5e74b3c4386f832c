"""A run in the present whose CPU a debugger may hold and change; what it changes is an input like any other.

Lives here: what the CPU says of its debugger.  Never here: what a debugger may do (cpu_node/gdbstub/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.codec import type_of
from machine.icount import BROKER, CPU
from replay_broker.session.record import RecordSession

if TYPE_CHECKING:
    from machine.board import Board
    from machine.frame import Frame
    from replay_broker.ledger import Ledger
    from replay_broker.session.base import Send


class DebuggedSession(RecordSession):
    """Mode `none`, and what the others that record have in common."""

    def __init__(self, board: Board, send: Send, ledger: Ledger, *, reboots: bool = True) -> None:
        super().__init__(board, send, ledger, reboots=reboots)
        self._rouses = False
        """The guest's sleep is to end."""
        self._handlers = {
            **self._handlers,
            type_of(m.Rouse): self._on_rouse,
            type_of(m.DebuggerWrite): self._on_write,
        }

    def let_go(self) -> None:
        """A debugger is sent away for good."""
        super().let_go()
        if self.debugged:
            self.debugged = False
            self.send(m.Pause(on=False, let_go=True), CPU, self.icount)

    def _on_write(self, frame: Frame) -> None:
        """It has been done where the CPU stands; a replay is told of it there."""
        self._enter(frame._replace(source=BROKER, target=CPU))

    def _on_rouse(self, _: Frame) -> None:
        """The guest's sleep ends, at the next sync point if it has just ended by itself."""
        self._rouses = True
        if self._held_from_ns is not None:
            # The monitor goes on holding it, awake; it has slept until that began.
            self._idle_until_ns, self._held_from_ns = self._held_from_ns, None
            self._tell_pause(on=True)
        self._attend()

    def _consider_idle(self, *, just_now: bool = False) -> None:
        if not self._rouses or self.saving:
            super()._consider_idle(just_now=just_now)
        elif just_now:
            self._open(0)
        else:
            self._wake()

    def _go_on(self) -> None:
        if self._rouses:
            self._rouses = False
            self._say(m.Rouse(), CPU, self.icount)
        super()._go_on()
