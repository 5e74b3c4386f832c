"""Pages of guest memory that the host's processor tells of when they are touched, at no cost before that.

Lives here: which pages.  Never here: what becomes of it (forward.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node import _engine
from cpu_node._engine import HIT_READ
from cpu_node.staging import NoStaging
from machine.board import PAGE_BYTES, RAM_BASE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpu_node.debugger import Watch
    from cpu_node.memory import GuestMemory


class Guards(NoStaging):
    """Around what is watched, or around nothing.  For the keeper, who tells before the kernel writes to memory."""

    def __init__(self, memory: GuestMemory) -> None:
        super().__init__(memory)
        self._memory = memory
        self._begun_anew = False
        self.clean = 0
        """The instruction count at which look() has last found nothing touched, or where they were set."""

    @property
    def touched(self) -> bool:
        """Whether any of the pages was, since they were set; who has touched the first has taken all away."""
        return self._begun_anew or _engine.guards_touched()

    def look(self, icount: int) -> bool:
        """Whether any of the pages was touched, from an instruction count where nothing is under way."""
        touched = self.touched
        if not touched:
            self.clean = icount
        return touched

    def set(self, watches: Iterable[Watch], icount: int = 0) -> None:
        """Around these and no others; what is not memory is never touched.  OSError if the host has no room for it."""
        self._begun_anew, self.clean = False, icount
        host, last = self._memory.host_address, self._memory.end - 1
        ranges = []
        # Where two share a page, the one that minds reads counts.
        for low, high, kinds in sorted(watches, key=lambda watch: watch[2] & HIT_READ):
            start, end = max(low, RAM_BASE) - RAM_BASE, min(high, last) - RAM_BASE
            if start <= end:
                start -= start % PAGE_BYTES
                size = (end // PAGE_BYTES + 1) * PAGE_BYTES - start
                ranges.append((host + start, size, bool(kinds & HIT_READ)))
        _engine.set_guards(ranges)

    def end(self) -> None:
        """All of memory is about to be written, by the kernel too, and it cannot where a guard is."""
        _engine.set_guards([])
        self._begun_anew = True
