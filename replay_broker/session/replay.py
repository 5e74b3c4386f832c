"""What both ways of replaying share: walking the recording, comparing, the books.

Lives here: the cursor.  Never here: writing anything.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import decode, type_of
from machine.errors import Divergence
from machine.frame import FIRST_DERIVED_TYPE, Frame, class_of
from machine.icount import CPU
from machine.message import MessageClass
from machine.recording.chain import chain_of
from machine.recording.compare import divergence, same, silence
from machine.recording.place import START
from machine.recording.stops import SYNC_POINT, Stops
from machine.recording.trusted import trusted
from replay_broker.outcome import Outcome
from replay_broker.session.base import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.recording.place import Point
    from machine.recording.reader import Recording
    from replay_broker.session.base import Send

END: Final = type_of(m.End)
RESET: Final = type_of(m.Reset)
POWER_OFF: Final = type_of(m.PowerOff)


class Cursor:
    """The recording's messages one by one, with a look at the next and a digest of those passed."""

    def __init__(self, recording: Recording, start: Point = START) -> None:
        frames = trusted(recording.frames(start))
        self._frames = frames
        self._chain = chain_of(recording.facts.format, start.chain)
        self.messages = start.seq
        self.inputs = start.inputs
        self.end: m.PowerOffReason | None = None
        self._asked = False
        self.on_reset: Callable[[bool], None] = _nobody
        """Hears that the machine has begun anew, and whether the guest has asked for it."""
        self.next: Frame | None = next(frames, None)

    def pass_next(self) -> Frame:
        """Count the next message as having happened."""
        frame = self.next
        assert frame is not None
        self._chain.add(frame)
        self.messages += 1
        if frame.type == RESET and frame.target == CPU:
            self.on_reset(self._asked)
        self._asked = frame.type == POWER_OFF or (self._asked and frame.type == SYNC_POINT)
        self.inputs += class_of(frame.type) is MessageClass.INPUT
        if frame.type == END:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, m.End)
            self.end = message.reason
        self.next = next(self._frames, None)
        return frame

    def digest(self) -> bytes:
        """Of every message passed (docs/log-format.md, Chain)."""
        return self._chain.digest()


class ReplaySession(Session):
    """A run that follows a recording."""

    def __init__(self, recording: Recording, send: Send, until: int | None, start: Point = START) -> None:
        super().__init__(recording.board, send)
        self._recording = recording
        self._start = self._last_point = start
        self.icount = start.place.icount
        self.begin_icount = recording.begin_icount
        self.end_icount = self._end_of(recording, until)
        self._until = until
        self._cursor = Cursor(recording, start)
        self._cursor.on_reset = self._on_reset
        self._stops = Stops(trusted(recording.frames(start)))

    def _end_of(self, recording: Recording, until: int | None) -> int:
        """The instruction at which it will have come to its goal; in an unclosed log nobody knows it before."""
        return recording.end_icount if until is None else until

    @property
    def messages(self) -> int:
        """Messages that have happened again."""
        return self._cursor.messages

    @property
    def inputs(self) -> int:
        """Inputs among them."""
        return self._cursor.inputs

    def point(self, icount: int) -> Point:
        """The CPU tells its state before anything happens at its instruction count."""
        self._last_point = self._recording.point(lambda frame: frame.icount < icount, self._last_point)
        return self._last_point

    def quit(self) -> None:
        """Leave a replay in the middle."""
        self._end(m.RunState.STOPPED)

    def fail(self, outcome: Outcome) -> None:
        """Nothing is written, so nothing is lost."""
        if self.outcome is None:
            self.outcome = outcome

    def _begin(self) -> None:
        """The CPU comes to power-on's sync point by itself; in a saved state it has to be told which is the next."""
        if self._start.seq == 0:
            self._stops.take()
        else:
            self.send(self._stops.take(), CPU, self.icount)

    def _match(self, frame: Frame) -> Frame:
        """The recorded message that a node has just re-created; Divergence if it is another."""
        self.icount = max(self.icount, frame.icount)
        expected = self._cursor.next
        if expected is None or not same(expected, frame):
            raise divergence(expected, frame, self.node_name)
        return self._cursor.pass_next()

    def _on_reset(self, by_guest: bool) -> None:
        self.resets += 1
        self.reset_by_guest = by_guest

    def _begins_anew(self, frame: Frame) -> bool:
        """Whether the guest has just asked for a restart that it was given, at a sync point without a Sync."""
        ahead = self._cursor.next
        return frame.type == POWER_OFF and ahead is not None and ahead.type == SYNC_POINT

    def _missed(self, actually: str) -> Divergence:
        assert self._cursor.next is not None
        return silence(self._cursor.next, actually, self.node_name)

    def _finish_if_over(self) -> None:
        if self._cursor.next is None and self.outcome is None:
            self._end(m.RunState.ENDED)

    def _end(self, state: m.RunState) -> None:
        reason = self._cursor.end or m.PowerOffReason.OUTSIDE
        self.outcome = Outcome(state, self._cursor.digest(), reason=reason)

    def _on_stopped(self, frame: Frame) -> None:
        """The CPU stands where it was told to: everything stamped before has happened, or should have."""
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.Stopped)
        self.icount = frame.icount
        while (ahead := self._cursor.next) is not None and ahead.icount < frame.icount:
            if ahead.source == CPU and ahead.type >= FIRST_DERIVED_TYPE:
                raise self._missed(f"the CPU has reached {frame.icount}")
            self._cursor.pass_next()
        digest = hashlib.sha256(message.digest + self._cursor.digest()).digest()
        self.outcome = Outcome(m.RunState.STOPPED, digest)


def _nobody(_by_guest: bool) -> None:
    pass
