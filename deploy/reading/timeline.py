"""A run along virtual time, in a fixed number of equal spans, however long the run turns out to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.frame import class_of
from machine.message import MessageClass
from machine.recording.summary import SYNC_POINT, idle_ns_of

if TYPE_CHECKING:
    from machine.clock import VirtualClock
    from machine.frame import Frame

SPANS: Final = 60
_FIRST_SPAN_NS: Final = 1024


class Timeline:
    """What happened when: instructions, messages and inputs in each span of virtual time.

    The spans start short; when a message lies behind the last, each two become one.
    """

    def __init__(self, clock: VirtualClock, icount: int = 0) -> None:
        self._clock = clock
        self._icount = icount
        self.span_ns = _FIRST_SPAN_NS
        self.busy_ns = [0] * SPANS
        """Virtual time during which the guest ran."""
        self.messages = [0] * SPANS
        self.inputs = [0] * SPANS

    @property
    def end_ns(self) -> int:
        """Virtual time at the last message."""
        return self._clock.at(self._icount)

    @property
    def spans(self) -> int:
        """How many spans the run has come to."""
        return min(SPANS, self.end_ns // self.span_ns + 1)

    def add(self, frame: Frame) -> None:
        """Count one message, which is the next in the order of seq."""
        if frame.icount > self._icount:
            self._run(frame.icount)
        at = self._span(self.end_ns)
        self.messages[at] += 1
        self.inputs[at] += class_of(frame.type) is MessageClass.INPUT
        if frame.type == SYNC_POINT:
            self._clock.idle_ns += idle_ns_of(frame)

    def _run(self, icount: int) -> None:
        """The guest ran up to an instruction count."""
        start, end = self.end_ns, self._clock.at(icount)
        self._icount = icount
        last = self._span(end)
        for at in range(start // self.span_ns, last + 1):
            self.busy_ns[at] += min(end, (at + 1) * self.span_ns) - max(start, at * self.span_ns)

    def _span(self, time_ns: int) -> int:
        """The span of a virtual time, which is made to have one."""
        while time_ns >= self.span_ns * SPANS:
            self.span_ns *= 2
            for row in (self.busy_ns, self.messages, self.inputs):
                row[:] = [a + b for a, b in zip(row[::2], row[1::2], strict=True)] + [0] * (SPANS // 2)
        return time_ns // self.span_ns
