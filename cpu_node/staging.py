"""A copy of guest memory that stays as it is while the guest runs on: what has changed since the copy before.

Lives here: which parts have changed, copying them.  Never here: what becomes of the copy (replay_broker/snapshots/).
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, Final

from cpu_node import _engine
from machine.errors import NoRoom

if TYPE_CHECKING:
    from cpu_node.memory import GuestMemory

SMALLEST_GRANULE: Final = 1 << 16
MOST_GRANULES: Final = 1 << 14
"""Linux lets a process have 65,530 mappings (vm.max_map_count), and each granule may need its own."""


class Staging:
    """The copy, made on request."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self.granule = SMALLEST_GRANULE
        """Bytes that are watched together."""
        while memory.size > self.granule * MOST_GRANULES:
            self.granule *= 2
        self._fd = -1
        self._watching = False
        self.whole = True
        """The next copy is of everything that is not zero."""

    @property
    def path(self) -> str:
        """Where another process of this host finds the copy, at the offsets of memory itself."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def take(self) -> bytes:
        """Copy what has changed since the last time, or since begin(); the granules' numbers, 4 bytes each.

        NoRoom if the host has none for it.
        """
        size = self._memory.size
        try:
            self._make_room(size)
            granules = self._touched() if self.whole else _engine.take_written()
            self._watch()
            for first, last in _runs(granules):
                self._copy(first * self.granule, min(size, (last + 1) * self.granule))
        except OSError as error:
            if self._fd >= 0:
                os.ftruncate(self._fd, 0)
            raise NoRoom(f"cpu: no room for a copy of memory: {error.strerror}") from error
        self.whole = False
        numbers = array("I", granules)
        return numbers.tobytes()

    def _make_room(self, size: int) -> None:
        if self._fd < 0:
            self._fd = os.memfd_create("dejavm-staging")
        # What the last copy took is given back, if whoever read it has not done so.
        os.ftruncate(self._fd, 0)
        os.ftruncate(self._fd, size)

    def end(self) -> None:
        """Memory is about to become something else: the kernel writes it too, and cannot where it is watched."""
        if self._watching:
            _engine.unwatch()
        self._watching, self.whole = False, True

    def begin(self) -> None:
        """Memory is as a snapshot has it: what changes from now on is what the next copy has."""
        self._watching = False
        self._watch()
        self.whole = False

    def _watch(self) -> None:
        if not self._watching:
            _engine.watch_writes(self._memory.host_address, self._memory.size, self.granule)
            self._watching = True

    def _touched(self) -> list[int]:
        """The granules that are not holes of the backing file."""
        found: dict[int, None] = {}
        for start, end in self._memory.extents():
            found.update(dict.fromkeys(range(start // self.granule, -(-end // self.granule))))
        return sorted(found)

    def _copy(self, start: int, end: int) -> None:
        view = self._memory.view
        while start < end:
            start += os.pwrite(self._fd, view[start:end], start)


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Numbers in order as (first, last) of those that follow each other."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


class Tracking(Staging):
    """For a process whose forks tell its memory: what has changed, of which nothing is copied."""

    path = ""

    def take(self) -> bytes:
        """The granules that have changed since the last time, as Staging has them; none where it is the whole."""
        try:
            granules = [] if self.whole else _engine.take_written()
            self._watch()
        except OSError as error:
            raise NoRoom(f"cpu: what changes in memory cannot be watched: {error.strerror}") from error
        self.whole = False
        return array("I", granules).tobytes()


class NoStaging(Staging):
    """For a process that tells its memory in other ways: nothing is copied, nothing watched."""

    path = ""

    def take(self) -> bytes:
        """Nothing."""
        return b""

    def end(self) -> None:
        """Nothing is watched."""

    def begin(self) -> None:
        """Nothing is watched."""
