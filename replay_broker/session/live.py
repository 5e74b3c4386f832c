"""Replaying with the devices running: they are fed what was recorded, and everything they say is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import decode, name_of, type_of
from machine.errors import LogError, RemoteWireError
from machine.frame import FIRST_DERIVED_TYPE, FIRST_INPUT_TYPE, Frame
from machine.icount import BROKER, CPU, FIRST_DEVICE
from machine.recording.place import START
from machine.recording.stops import STOPS, closes_stop
from replay_broker.session.replay import END, ReplaySession

if TYPE_CHECKING:
    from machine.recording.place import Point
    from machine.recording.reader import Recording
    from replay_broker.session.base import Send

DMA_WRITE: Final = type_of(m.DmaWrite)
HOST_INPUT: Final = type_of(m.HostInput)
_STOP_REQUEST: Final = type_of(m.StopRequest)


class LiveReplaySession(ReplaySession):
    """Mode `replay --devices live`.  Whatever a node says must be the recording's next message."""

    name = "replay-live"

    def __init__(self, recording: Recording, send: Send, until: int | None, start: Point = START) -> None:
        super().__init__(recording, send, until, start)
        self._synced_at: int | None = None
        self._in_sync_point = False
        self._unsettled = False
        """A device has written memory at this sync point, and the CPU may not have stored it yet."""

    def start(self) -> None:
        """The CPU has the first word, unless nothing was recorded behind where it begins."""
        self._begin()
        self._finish_if_over()

    def handle(self, frame: Frame) -> None:
        """A derived message is compared and passed on; flow control moves the replay along."""
        if frame.type >= FIRST_DERIVED_TYPE:
            recorded = self._match(frame)
            if self._begins_anew(frame):
                self._synced_at = frame.icount
            if recorded.target != BROKER:
                self._send_frame(recorded)
                self._unsettled |= recorded.type == DMA_WRITE
            self._feed()
        elif frame.type == type_of(m.Sync):
            self._on_sync(frame)
        elif frame.type == type_of(m.Settle):
            self._unsettled = False
            self._feed()
        elif frame.type == type_of(m.Stopped):
            self._on_stopped(frame)
        elif frame.type >= FIRST_INPUT_TYPE:
            raise RemoteWireError(f"{self.node_name(frame.source)} sent {name_of(frame.type)} into a replay")

    def _on_sync(self, frame: Frame) -> None:
        self.icount = max(self.icount, frame.icount)
        self._synced_at = frame.icount
        self._feed()
        if self._waits_in_vain():
            message = decode(frame.type, frame.payload)
            raise self._missed(f"the CPU stands at {frame.icount}, saying {message}")

    def _waits_in_vain(self) -> bool:
        return self._synced_at is not None and self.outcome is None

    def _feed(self) -> None:
        """Deliver the inputs that come next, up to where a node has to say something."""
        while (ahead := self._cursor.next) is not None and ahead.type < FIRST_DERIVED_TYPE:
            if ahead.type in STOPS and not self._open_sync_point(ahead):
                return
            if self._unsettled and ahead.type == HOST_INPUT:
                self.send(m.Settle(), CPU, self.icount)
                return
            self._deliver(self._cursor.pass_next())
        self._close_sync_point()
        self._finish_if_over()

    def _open_sync_point(self, ahead: Frame) -> bool:
        self._close_sync_point()
        if self._synced_at is None:
            return False
        if self._synced_at != ahead.icount:
            raise self._missed(f"the CPU stands at {self._synced_at}")
        self._synced_at = None
        self._in_sync_point = True
        self._unsettled = False
        return True

    def _close_sync_point(self) -> None:
        """The stop is over when the CPU, or nobody, has the next word."""
        ahead = self._cursor.next
        if self._in_sync_point and closes_stop(ahead):
            self._in_sync_point = False
            self.send(self._stops.take(), CPU, self.icount)

    def _deliver(self, frame: Frame) -> None:
        if frame.type == END:
            return
        if frame.type == _STOP_REQUEST:
            self._in_sync_point = False
        # A backend's result was the device's own word when it was recorded; now the device is told.
        target = frame.source if frame.target == BROKER else frame.target
        if not CPU <= target < FIRST_DEVICE + len(self._recording.board.devices):
            # Nobody would answer, and everybody wait for it.
            raise LogError(
                f"message {frame.seq} is for node {target}, which the recorded machine does not have to hear it"
            )
        self._send_frame(Frame(frame.type, frame.source, target, frame.icount, frame.payload, frame.seq))
