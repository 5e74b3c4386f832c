"""Where a replaying CPU has to stop, read ahead of it: sync points, and where a debugger has changed something.

Lives here: what each Grant of a replay says.  Never here: who sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.codec import decode, type_of
from machine.frame import FIRST_INPUT_TYPE, Frame
from machine.icount import CPU
from machine.message import DebuggerWrite, Grant, SyncPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

SYNC_POINT: Final = type_of(SyncPoint)
DEBUGGER_WRITE: Final = type_of(DebuggerWrite)
STOPS: Final = frozenset((SYNC_POINT, DEBUGGER_WRITE))
"""Messages that begin a stop of the CPU's."""


def closes_stop(ahead: Frame | None) -> bool:
    """Whether the deliveries of a stop are over in front of a message: the CPU, or nobody, has the next word."""
    return ahead is None or ahead.source == CPU or ahead.type in STOPS


class Stops:
    """One walk over a recording's messages, as far as each next stop."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._grants = _grants(frames)

    def take(self) -> Grant:
        """How far the CPU runs now; behind the last stop for ever."""
        return next(self._grants, Grant())


def _grants(frames: Iterator[Frame]) -> Iterator[Grant]:
    in_stop, after = False, 0
    for frame in frames:
        if in_stop and closes_stop(frame):
            in_stop, after = False, 0
        if frame.type == SYNC_POINT:
            yield Grant(until_icount=frame.icount)
        elif frame.type == DEBUGGER_WRITE:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, DebuggerWrite)
            yield Grant(until_icount=frame.icount, pc=message.pc, after=after)
        in_stop |= frame.type in STOPS
        after += frame.type >= FIRST_INPUT_TYPE and CPU in (frame.source, frame.target)
