"""Replaying without devices: the log is the devices, streamed to the CPU ahead of time.

Theory of operation.  Two cursors walk the recording.  The first runs ahead and sends the CPU what
others said to it, with a Grant behind each sync point; the CPU takes each message where it belongs and
never waits for an answer.  The second follows what the CPU says and compares it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import type_of
from machine.frame import FIRST_DERIVED_TYPE, Frame
from machine.icount import CPU
from machine.recording.compare import divergence
from machine.recording.place import START
from machine.recording.stops import STOPS, closes_stop
from machine.recording.trusted import trusted
from replay_broker.session.replay import ReplaySession

if TYPE_CHECKING:
    from machine.recording.place import Point
    from machine.recording.reader import Recording
    from replay_broker.session.base import Send

AHEAD: Final = 2048
"""Deliveries that may be on their way: four Credits' worth (cpu_node/link.py)."""
CREDIT: Final = 512
_STOP_REQUEST: Final = type_of(m.StopRequest)


class LogReplaySession(ReplaySession):
    """Mode `replay --devices log`."""

    name = "replay-log"

    def __init__(self, recording: Recording, send: Send, until: int | None, start: Point = START) -> None:
        super().__init__(recording, send, until, start)
        self._ahead = trusted(recording.frames(start))
        self._credit = AHEAD
        self._in_sync_point = False
        self._streamed_all = False
        self._syncs_due = 0
        """Sync points whose turn has come and to which the CPU has not come."""

    def start(self) -> None:
        """Fill the stream."""
        self._begin()
        self._stream()
        self._skip_others()

    def handle(self, frame: Frame) -> None:
        """Compare what the CPU says."""
        if frame.type >= FIRST_DERIVED_TYPE:
            self._match(frame)
            self._syncs_due -= self._begins_anew(frame)
            self._skip_others()
        elif frame.type == type_of(m.Credit):
            self._credit += CREDIT
            self._stream()
        elif frame.type == type_of(m.Stopped):
            self._on_stopped(frame)
        elif frame.type == type_of(m.Sync):
            self._check_sync(frame)

    def _stream(self) -> None:
        while self._credit > 0 and not self._streamed_all:
            frame = next(self._ahead, None)
            self._close_sync_point(frame)
            if frame is None:
                self._streamed_all = True
            elif frame.target == CPU:
                self._in_sync_point |= frame.type in STOPS
                self._in_sync_point &= frame.type != _STOP_REQUEST
                self._credit -= 1
                self._send_frame(frame)

    def _close_sync_point(self, ahead: Frame | None) -> None:
        """The stop is over when the CPU, or nobody, has the next word."""
        if self._in_sync_point and closes_stop(ahead):
            self._in_sync_point = False
            self._credit -= 1
            self.send(self._stops.take(), CPU, 0)

    def _skip_others(self) -> None:
        """Everything but the CPU's own words counts as having happened when its turn comes."""
        while (ahead := self._cursor.next) is not None and ahead.source != CPU:
            if self._until is not None and ahead.icount >= self._until:
                return
            self._syncs_due += self._cursor.pass_next().type in STOPS
        self._finish_if_over()

    def _check_sync(self, frame: Frame) -> None:
        """A CPU that stops where nothing was delivered would wait for ever."""
        self._syncs_due -= 1
        expected = self._cursor.next
        late = expected is not None and expected.icount < frame.icount and expected.source == CPU
        if expected is not None and (late or self._syncs_due < 0):
            raise divergence(expected, frame, self.node_name)
