"""Where a replaying CPU has to stop, read ahead of it: sync points, and where a debugger has changed something.

Lives here: what each Grant of a replay says.  Never here: who sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.codec import decode, type_of
from machine.frame import FIRST_INPUT_TYPE, Frame
from machine.icount import CPU
from machine.message import DebuggerWrite, Grant, MmioAccess, SyncPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

SYNC_POINT: Final = type_of(SyncPoint)
DEBUGGER_WRITE: Final = type_of(DebuggerWrite)
STOPS: Final = frozenset((SYNC_POINT, DEBUGGER_WRITE))
"""Messages that begin a stop of the CPU's."""
_MMIO_ACCESS: Final = type_of(MmioAccess)


def closes_stop(ahead: Frame | None) -> bool:
    """Whether the deliveries of a stop are over in front of a message: the CPU, or nobody, has the next word."""
    return ahead is None or ahead.source == CPU or ahead.type in STOPS


class Stops:
    """One walk over a recording's messages, as far as each next stop."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._grants = _grants(frames)

    def take(self) -> Grant:
        """How far the CPU runs now; behind the last stop for ever, but for one that the log may have lost."""
        return next(self._grants, Grant())


def _grants(frames: Iterator[Frame]) -> Iterator[Grant]:
    in_stop, after = False, 0
    said: Frame | None = None
    for frame in frames:
        if in_stop and closes_stop(frame):
            in_stop, after = False, 0
        if frame.type == SYNC_POINT:
            yield Grant(until_icount=frame.icount)
        elif frame.type == DEBUGGER_WRITE:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, DebuggerWrite)
            yield Grant(until_icount=frame.icount, pc=message.pc, after=after)
        if frame.type in STOPS:
            in_stop, said = True, None
        elif frame.source == CPU:
            said = frame
        after += frame.type >= FIRST_INPUT_TYPE and CPU in (frame.source, frame.target)
    if said is not None and said.type == _MMIO_ACCESS:
        # What is gathered is told in front of a stop: a log may end between the two.  No run that ended says this last.
        yield Grant(until_icount=said.icount, gathered=said.payload, device=said.target)
