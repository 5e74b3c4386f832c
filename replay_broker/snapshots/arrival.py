"""Guest memory that comes from a CPU on another host, as a file that is like the CPU's own copy.

Lives here: putting parts where they belong, and believing none that does not fit.
Never here: what becomes of the copy (machine/recording/snapshots/).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import zstandard

from machine.errors import MachineError, RemoteWireError
from machine.recording.snapshots.snapshot import PAGE_BYTES

if TYPE_CHECKING:
    from machine.message import SavedPages

MOST_BYTES: Final = 1 << 20
"""Of memory in a part."""


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
        """Put a part away; RemoteWireError if it is none of this memory, MachineError if the host has no room."""
        try:
            size = zstandard.frame_content_size(part.data)
            if not 0 < size <= MOST_BYTES or size % PAGE_BYTES or part.offset % PAGE_BYTES:
                raise RemoteWireError(f"saved_pages of {size} bytes at {part.offset}")
            if part.offset + size > self._memory:
                raise RemoteWireError(f"saved_pages behind the end of memory, at {part.offset}")
            data = memoryview(zstandard.ZstdDecompressor().decompress(part.data))
        except zstandard.ZstdError as error:
            raise RemoteWireError(f"saved_pages: {error}") from error
        try:
            self._make_room()
            done = 0
            while done < size:
                done += os.pwrite(self._fd, data[done:], part.offset + done)
        except OSError as error:
            raise MachineError(f"no room for a copy of the guest's memory: {error.strerror}") from error

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
