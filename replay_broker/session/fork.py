"""Following a recording to where a branch leaves it: the machine's state there is all that is wanted.

Theory of operation.  The CPU is told to stand still at the instruction, and there to tell its state; it does so at the
first sync point from there on, before anything happens that the recording has at that instruction count.  Up to there
nothing new could have been delivered, so the run is the recorded one.  What a node says afterwards is of no interest.

Lives here: when the state is asked for, and that nothing comes behind it.  Never here: what becomes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.codec import decode
from machine.frame import FIRST_DERIVED_TYPE
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

    def __init__(self, recording: Recording, send: Send, at: int, start: Point = START, *, own: bool = False) -> None:
        """`own`: the state is kept with the recording itself, which is gone on with there."""
        self._at = at
        super().__init__(recording, send, None, start)
        self.own = own
        self._stands = False
        """The CPU stands at `at` and has not been asked for its state."""
        self._told = False

    def _end_of(self, recording: Recording, until: int | None) -> int:
        """Whoever has started it knows."""
        return self._at

    def start(self) -> None:
        """Before anything else the CPU hears where to stand still."""
        self.send(m.Pause(on=True, at_icount=self._at), CPU, self.icount)
        super().start()

    def point(self, icount: int) -> Point:
        """The place in the branch's log, which begins there."""
        found = super().point(icount)
        if self.own:
            return found
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


class SleepSession(ForkSession):
    """The same at the log's end, where the guest falls asleep without another word; one that has more to say ends it.

    A guest that does not sleep goes on behind the log: whatever it says there is another run's.
    """

    name = "sleep"

    def start(self) -> None:
        """As any replay."""
        LiveReplaySession.start(self)

    def point(self, icount: int) -> Point:
        """Everything has happened."""
        self._last_point = self._recording.point(lambda _: True, self._last_point)
        return self._last_point

    def tick(self) -> None:
        """The CPU answers in its sleep."""
        self._stands = self._stands and not self.saving

    def stands_awake(self) -> bool:
        """It sleeps."""
        return False

    def handle(self, frame: Frame) -> None:
        """Up to the last message as in any replay."""
        if self._told or self.outcome is not None:
            return
        if self._cursor.next is None and frame.type >= FIRST_DERIVED_TYPE:
            self._find_awake()
            return
        super().handle(frame)

    def _find_awake(self) -> None:
        self.outcome = Outcome(m.RunState.ENDED, detail="the guest does not sleep at the log's end")

    def _on_sync(self, frame: Frame) -> None:
        super()._on_sync(frame)
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.Sync)
        if self._cursor.next is not None:
            return
        if message.idle:
            self._stands = True
        else:
            # It was asked to stop there when the log had been cut; that is not in it.
            self._find_awake()

    def _waits_in_vain(self) -> bool:
        return self._cursor.next is not None and super()._waits_in_vain()

    def _finish_if_over(self) -> None:
        """It is over when the guest sleeps."""
