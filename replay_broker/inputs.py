"""What waits for the CPU's next sync point: inputs from the outside, each with its earliest time."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING

from machine.codec import decode
from machine.message import HostInput

if TYPE_CHECKING:
    from machine.frame import Frame


class PendingInputs:
    """A queue by (virtual time before which it must not be delivered, order of arrival)."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Frame]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._heap)

    def by_node(self) -> Counter[int]:
        """How many wait for each device."""
        return Counter(frame.target for _, _, frame in self._heap)

    def add(self, frame: Frame, due_ns: int) -> None:
        """Queue an input; of those that are due the one that came first goes first."""
        self._arrivals += 1
        heapq.heappush(self._heap, (due_ns, self._arrivals, frame))

    def bytes_of(self, target: int) -> int:
        """Bytes that wait for one node and are its backend's."""
        messages = (decode(frame.type, frame.payload) for _, _, frame in self._heap if frame.target == target)
        return sum(len(each.data) for each in messages if isinstance(each, HostInput) and not each.by_monitor)

    def is_due(self, now_ns: int) -> bool:
        """Whether take() has something."""
        return bool(self._heap) and self._heap[0][0] <= now_ns

    def take(self, now_ns: int) -> Frame | None:
        """The next input that is due, if there is one."""
        if not self.is_due(now_ns):
            return None
        return heapq.heappop(self._heap)[2]

    def all(self) -> list[tuple[Frame, int]]:
        """What waits, with its earliest time, in the order in which it would be taken."""
        return [(frame, due_ns) for due_ns, _, frame in sorted(self._heap, key=lambda row: row[:2])]

    def next_ns(self) -> int | None:
        """The earliest time at which something is due."""
        return self._heap[0][0] if self._heap else None
