"""A recording that outlives the process of its CPU: what that had been asked is asked of its successor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import CPU
from replay_broker.session.base import Hold
from replay_broker.session.debugged import DebuggedSession

if TYPE_CHECKING:
    from machine.recording.place import Point


class LastingSession(DebuggedSession):
    """Mode `record`."""

    _cpu_lost = False

    @property
    def is_stopped(self) -> bool:
        """Whether a sync point is under way."""
        return self._stopped

    def may_save(self) -> bool:
        """Not while there is no CPU, either."""
        return not self._cpu_lost and super().may_save()

    def lose_cpu(self) -> Point:
        """The CPU's process has died: nothing begins before another is as far.  All said so far is in the log."""
        self._sync = None
        self._kicked = False
        self._idle_from_ns = self._idle_until_ns = self._held_from_ns = None
        self._cpu_lost = True
        point = self.mark()
        # What it did behind the last message nobody has seen; its successor may stop before that.
        self.icount = point.place.icount
        return point

    def mark(self) -> Point:
        """Everything said so far is with the host."""
        return self._ledger.mark()

    def regain_cpu(self, *, owes_grant: bool) -> None:
        """A successor is as far.  `owes_grant`: it stands in the log's last sync point, and was not told to run on."""
        self._cpu_lost = False
        self._kicked = False
        if self._stopped and self._awaiting is None and self._unsettled:
            self.send(m.Settle(), CPU, self.icount)
        elif owes_grant and not self._stopped and self._ending is None:
            self.send(m.Grant(None, self._pending.next_ns()), CPU, self.icount)
        if self.hold is not Hold.RUNNING:
            self.stood = self.hold is Hold.PAUSED
            self.hold = Hold.PAUSING
            self._tell_pause(on=True)
        if self._quit or self._outside or len(self._pending):
            self._attend()

    def _attend(self) -> None:
        if not self._cpu_lost:
            super()._attend()
