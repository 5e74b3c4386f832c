"""A file of pages, written."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import zstandard

from machine.recording.snapshots.files import digest_of
from machine.recording.snapshots.pack import CHECKSUM, FOOTER, FRAME_PAGES, MAGIC, Directory, Frame, quick_hashes
from machine.recording.snapshots.pagemap import column_bytes
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.vmstate import encode

if TYPE_CHECKING:
    from machine.recording.snapshots.part import Part

LEVEL: Final = -1
"""Of zstd: unpacked a quarter faster than level 1's, packed a sixth faster, and 2 to 7 % larger (a Debian guest)."""
FRAME_BYTES: Final = FRAME_PAGES * PAGE_BYTES


class Packing:
    """Pages on their way into a file; those of one call are of consecutive slots, and slots ascend."""

    def __init__(self, part: Part, recording_id: str, number: int) -> None:
        self._part = part
        self._recording_id = recording_id
        self._number = number
        self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
        self._pending = bytearray()
        self._frames: list[Frame] = []
        self._firsts = array("I")
        self._counts = array("I")
        self.hashes = bytearray()
        """Of every page so far."""
        self._quick = bytearray()
        part.write(MAGIC)

    def add(self, slot: int, pages: bytes | memoryview, hashes: bytes) -> None:
        """Append pages and their hashes; the first is `slot`."""
        count = len(pages) // PAGE_BYTES
        if self._firsts and self._firsts[-1] + self._counts[-1] == slot:
            self._counts[-1] += count
        else:
            self._firsts.append(slot)
            self._counts.append(count)
        self.hashes += hashes
        self._quick += quick_hashes(pages)
        self._pending += pages
        while len(self._pending) >= FRAME_BYTES:
            self._compress(FRAME_BYTES)

    def finish(self) -> None:
        """Write what is left and the index."""
        if self._pending:
            self._compress(len(self._pending))
        directory = encode(
            Directory(
                self._recording_id,
                self._number,
                tuple(self._frames),
                column_bytes(self._firsts),
                column_bytes(self._counts),
                digest_of(self.hashes),
                bytes(self._quick),
            )
        )
        self._part.write(self.hashes)
        self._part.write(directory)
        self._part.write(FOOTER.pack(len(directory), digest_of(directory), MAGIC))

    def _compress(self, size: int) -> None:
        frame = self._packer.compress(memoryview(self._pending)[:size])
        del self._pending[:size]
        self._part.write(frame)
        self._frames.append((len(frame), size // PAGE_BYTES, CHECKSUM.unpack(frame[-CHECKSUM.size :])[0]))
