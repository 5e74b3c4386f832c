"""Following a recording to where a branch leaves it: the machine's state there is all that is wanted.

Theory of operation.  The CPU is told to stand still at the instruction, and there to tell its state; it does so at the
first sync point from there on, before anything happens that the recording has at that instruction count.  Up to there
nothing new could have been delivered, so the run is the recorded one.  What a node says afterwards is of no interest.

Lives here: when the state is asked for, and that nothing comes behind it.  Never here: what becomes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import CPU
from machine.recording.place import START, Place, Point
from replay_broker.outcome import Outcome
from replay_broker.session.live import LiveReplaySession

if TYPE_CHECKING:
    from machine.frame import Frame
    from machine.recording.reader import Recording
    from replay_broker.session.base import Send
    from replay_broker.snapshots.process import Written


class ForkSession(LiveReplaySession):
    """A live replay that ends when its state at instruction `at` is with the host."""

    name = "fork"

    def __init__(self, recording: Recording, send: Send, at: int, start: Point = START) -> None:
        super().__init__(recording, send, None, start)
        self.end_icount = at
        self._at = at
        self._stands = False
        """The CPU stands at `at` and has not been asked for its state."""
        self._told = False

    def start(self) -> None:
        """Before anything else the CPU hears where to stand still."""
        self.send(m.Pause(on=True, at_icount=self._at), CPU, self.icount)
        super().start()

    def point(self, icount: int) -> Point:
        """The place in the branch's log, which begins there."""
        found = super().point(icount)
        return Point(Place(0, found.seq, icount, found.chain), found.seq, found.inputs, found.chain)

    def stands_still(self) -> None:
        """Now it may be asked."""
        self._stands = not self._told

    def may_save(self) -> bool:
        """At the place itself only, whoever asks."""
        return self._stands and self.outcome is None

    def timeout_ns(self) -> int | None:
        """At once, while something is to be said."""
        return 0 if self._stands else super().timeout_ns()

    def tick(self) -> None:
        """Once it has been asked, the CPU goes on to where it can answer."""
        if self._stands and self.saving:
            self._stands = False
            self.send(m.Pause(on=False), CPU, self.icount)

    def handle(self, frame: Frame) -> None:
        """As in any replay, up to the place."""
        if not self._told:
            super().handle(frame)

    def saved(self) -> None:
        """Every node has told its state: nothing more of this run counts."""
        super().saved()
        self._told = True
        self.send(m.Pause(on=True), CPU, self.icount)

    def kept(self, written: Written) -> None:
        """What became of the state: that is what this run was for."""
        if self.outcome is None:
            state = m.RunState.FAILED if written.error else m.RunState.STOPPED
            self.outcome = Outcome(state, detail=written.error)
