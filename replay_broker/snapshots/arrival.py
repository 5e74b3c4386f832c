"""Guest memory that comes from a CPU on another host, as a file that is like the CPU's own copy.

Lives here: putting parts where they belong, and believing none that does not fit.
Never here: what becomes of the copy (machine/recording/snapshots/).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from machine.errors import NoRoom, RemoteWireError
from machine.parts import unpack_part
from machine.recording.snapshots.snapshot import PAGE_BYTES

if TYPE_CHECKING:
    from machine.message import SavedPages


class Arrival:
    """One copy after the other, of `memory` bytes."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._fd = -1
        self._clean = False

    @property
    def path(self) -> str:
        """Where another process of this host finds the copy, at the offsets of memory itself."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def begin(self) -> None:
        """What comes from now on belongs to another copy."""
        self._clean = False

    def take(self, part: SavedPages) -> None:
        """Put a part away; RemoteWireError if it is none of this memory, NoRoom if the host has none."""
        data = memoryview(unpack_part(part, self._memory))
        size = len(data)
        if size % PAGE_BYTES or part.offset % PAGE_BYTES:
            raise RemoteWireError(f"saved_pages of {size} bytes at {part.offset}")
        try:
            self._make_room()
            done = 0
            while done < size:
                done += os.pwrite(self._fd, data[done:], part.offset + done)
        except OSError as error:
            raise NoRoom(f"no room for a copy of the guest's memory: {error.strerror}") from error

    def close(self) -> None:
        """It is not needed any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _make_room(self) -> None:
        if self._fd < 0:
            self._fd = os.memfd_create("dejavm-arrival")
        if not self._clean:
            # What the last copy took is given back.
            os.ftruncate(self._fd, 0)
            os.ftruncate(self._fd, self._memory)
            self._clean = True
