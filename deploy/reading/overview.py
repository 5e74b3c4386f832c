"""All that `dejavm info` tells of a log, read in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.reading.timeline import Timeline
from deploy.reading.watching import watched
from machine.recording.layout import LOG_NAME
from machine.recording.summary import summarise
from machine.recording.times import host_times

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from machine.frame import Frame
    from machine.recording.reader import Recording
    from machine.recording.summary import Summary


@dataclass(frozen=True, slots=True)
class Overview:
    """What a log comes to, how that lies in virtual time, and how long the recording took: 0 if that is not told."""

    summary: Summary
    timeline: Timeline
    host_ns: int
    from_icount: int = 0
    from_ns: int = 0
    """Where a branch begins, in instructions and in virtual time."""

    @property
    def mips(self) -> float:
        """Millions of instructions in each second of the host's while it was recorded; 0 if that is not known."""
        return (self.summary.instructions - self.from_icount) * 1000 / self.host_ns if self.host_ns else 0.0

    def a_second(self, count: int) -> float:
        """How many of something there were in each second of virtual time."""
        span_ns = self.summary.virtual_ns - self.from_ns
        return count * 1e9 / span_ns if span_ns else 0.0


def overview(recording: Recording) -> Overview:
    """Read the whole log; damage is told in the summary."""
    start = recording.beginning
    timeline = Timeline(recording.clock(), start.place.icount)
    frames = _seen(watched(recording.frames(), lambda: recording.messages - start.seq), timeline)
    summary = summarise(frames, recording.facts, recording.clock())
    icount = start.place.icount
    return Overview(summary, timeline, _host_span(recording.path / LOG_NAME), icount, recording.clock().at(icount))


def _seen(frames: Iterable[Frame], timeline: Timeline) -> Iterator[Frame]:
    for frame in frames:
        timeline.add(frame)
        yield frame


def _host_span(log: Path) -> int:
    """Nanoseconds of the host's clock between the first message and the last; 0 if the clock was set back."""
    first: int | None = None
    last = 0
    for last in host_times(log):
        first = last if first is None else first
    return max(0, last - first) if first is not None else 0
