"""When, in the guest's time, something happened that is known by its instruction and its place in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.errors import LogError
from machine.recording.summary import SYNC_POINT, idle_ns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.recording.reader import Recording
    from machine.recording.snapshots.store import Head


def virtual_times(recording: Recording, heads: Sequence[Head]) -> dict[int, int]:
    """The virtual time of each snapshot in nanoseconds, by number; reads the log up to the last of them.

    What lies behind the last good message of a damaged log is left out.
    """
    clock = recording.clock()
    found: dict[int, int] = {}
    frames = recording.frames()
    seq = recording.beginning.seq
    for head in sorted(heads, key=lambda head: head.seq):
        try:
            while seq < head.seq:
                frame = next(frames)
                seq += 1
                if frame.type == SYNC_POINT:
                    clock.idle_ns += idle_ns_of(frame)
        except (StopIteration, LogError):
            break
        found[head.number] = clock.at(head.icount)
    return found
