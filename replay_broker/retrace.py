"""The CPU's successor is taken along the recording that is being made, to its end.

Theory of operation.  As in a replay from the log everything that others said to the CPU is streamed, what it says
is compared, and it runs from sync point to sync point.  It differs at the end: there the recording goes on.  What is
said to the CPU meanwhile waits until then.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from machine.recording.place import START, Point
from machine.recording.reader import Recording
from replay_broker.session.log import LogReplaySession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from machine.frame import Frame
    from replay_broker.session.base import Send


class SoFar(Recording):
    """A recording that is being made, up to a message; what follows is none of its readers' business."""

    last: int

    @classmethod
    def of(cls, path: Path, last: int) -> SoFar:
        """LogError if it cannot be read."""
        opened = Recording.open(path)
        recording = cls(opened.path, opened.board, opened.facts)
        object.__setattr__(recording, "last", last)
        return recording

    def frames(self, start: Point = START) -> Iterator[Frame]:
        """The messages up to the last."""
        return takewhile(lambda frame: frame.seq <= self.last, super().frames(start))

    @property
    def clean_end(self) -> bool:
        """It goes on."""
        return False

    @property
    def end_icount(self) -> int:
        """Nobody waits for it."""
        return 0


class Retrace(LogReplaySession):
    """`is_stopped` tells whether the session that goes on is in the middle of the last sync point."""

    def __init__(self, recording: SoFar, send: Send, start: Point, is_stopped: Callable[[], bool]) -> None:
        super().__init__(recording, send, None, start)
        self._is_stopped = is_stopped
        self._later: list[Frame] = []
        self.owes_grant = False
        """The CPU stands in the last sync point."""

    def keep(self, frame: Frame) -> None:
        """Something for the CPU, by the session that goes on; what is not logged it says again."""
        if frame.seq:
            self._later.append(frame)

    @property
    def over(self) -> bool:
        """Whether the CPU has come to where the log ends."""
        return self.outcome is not None and self._streamed_all and self._syncs_due <= 0

    def finish(self) -> None:
        """Say what has waited."""
        later, self._later = self._later, []
        for frame in later:
            self._send_frame(frame)

    def _close_sync_point(self, ahead: Frame | None) -> None:
        if ahead is None and self._in_sync_point and self._is_stopped():
            self._in_sync_point = False
            self.owes_grant = True
            return
        super()._close_sync_point(ahead)
