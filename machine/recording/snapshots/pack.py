"""A file of pages, read: its index, and its frames into memory.

Lives here: which slot is where, and that nothing is believed that is not what was written.
Never here: which page of a guest a slot is.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Self

import zstandard
from xxhash import xxh3_128_digest

from machine.board import HIGHEST_MEMORY
from machine.errors import DamagedSnapshot, StateError
from machine.recording.regular import open_regular
from machine.recording.snapshots.files import HASH_BYTES, Signature, digest_of, pack_path, signature_of
from machine.recording.snapshots.pagemap import column_of
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.vmstate import decode, kept, vmstate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

MAGIC: Final = b"DVPAGES1"
FRAME_PAGES: Final = 256
QUICK_BYTES: Final = 16
FOOTER: Final = struct.Struct(f"<I{HASH_BYTES}s8s")
"""Bytes of the directory, its digest, MAGIC once more."""
CHECKSUM: Final = struct.Struct("<I")
"""The last bytes of a zstd frame that has one (RFC 8878, 3.1.1): of XXH64 over what it unpacks to, the low 32 bits."""
_SLOTS: Final = HIGHEST_MEMORY // PAGE_BYTES
"""No more pages were new in any snapshot."""
_FRAME_MOST: Final = FRAME_PAGES * PAGE_BYTES * 2
"""Bytes of a packed frame: pages that do not get smaller get larger by a few bytes."""
_DIRECTORY_MOST: Final = 1 << 28
"""Bytes of a directory: with every page of the largest memory by itself it has 150 MB."""
Frame = tuple[int, int, int]
"""Bytes, pages, checksum."""
Piece = tuple[int, int, int]
"""Page of a frame, page of memory, pages."""


@vmstate("pages", 1)
@dataclass(slots=True)
class Directory1:
    """What version 1 of a file of pages said about itself."""

    recording: str
    """For which it was written; branches share it (docs/branching.md).  What is in it is believed by its hashes."""
    number: int
    frames: tuple[Frame, ...]
    firsts: bytes
    """The slots that are there, as runs in ascending order: a column of first slots,"""
    counts: bytes
    """and one of lengths."""
    hashes: bytes
    """The hash of the column of hashes."""


def _lift1(old: Directory1) -> Directory:
    return Directory(**kept(old), quick=b"")


@vmstate("pages", 2, before=(Directory1, _lift1))
@dataclass(slots=True)
class Directory(Directory1):
    """What a file of pages says about itself."""

    quick: bytes
    """The quick hash of each page, one behind the other; empty where nobody has made them."""


def quick_hashes(pages: bytes | bytearray | memoryview) -> bytes:
    """XXH3 of 16 bytes for each page: forty times as fast as the other hash, for who compares and need not trust."""
    view = memoryview(pages)
    return b"".join(xxh3_128_digest(view[at : at + PAGE_BYTES]) for at in range(0, len(view), PAGE_BYTES))


class Pack:
    """One open file of pages; DamagedSnapshot wherever it is not what was written."""

    def __init__(self, folder: Path, number: int) -> None:
        self.path = pack_path(folder, number)
        try:
            self._fd = open_regular(self.path)
        except FileNotFoundError as error:
            raise self._damaged("the pages are missing") from error
        except OSError as error:
            raise self._damaged(f"cannot read the pages: {error.strerror}") from error
        try:
            self._open(number)
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @property
    def signature(self) -> Signature:
        """The file's; it is open."""
        return signature_of(os.fstat(self._fd))

    def position(self, slot: int, count: int = 1) -> int:
        """Where among the pages of this file a run of slots begins."""
        at = bisect_right(self._firsts, slot) - 1
        if at < 0 or slot + count > self._firsts[at] + self._counts[at]:
            raise self._damaged(f"slots {slot} to {slot + count - 1} are not there")
        return self._before[at] + slot - self._firsts[at]

    def slots(self) -> Iterator[tuple[int, int]]:
        """First slot and length of each run of slots, in the order of their pages."""
        return zip(self._firsts, self._counts, strict=True)

    def read_hashes(self) -> bytes:
        """The hash of each page, one behind the other."""
        data = self._read(self._offsets[-1], self.pages * HASH_BYTES)
        if digest_of(data) != self._directory.hashes:
            raise self._damaged("the hashes of the pages are damaged")
        return data

    def load(self, pieces: Sequence[tuple[int, int, int]], into: memoryview) -> None:
        """Unpack pages to where they belong: for each piece the position here, the page of `into`, and how many."""
        unpacker = zstandard.ZstdDecompressor()
        scratch = memoryview(bytearray(FRAME_PAGES * PAGE_BYTES))
        for number, parts in sorted(self._by_frame(pieces).items()):
            pages = self._directory.frames[number][1]
            if len(parts) == 1 and parts[0][2] == pages:
                start = parts[0][1] * PAGE_BYTES
                self._unpack(unpacker, number, into[start : start + pages * PAGE_BYTES])
                continue
            frame = scratch[: pages * PAGE_BYTES]
            self._unpack(unpacker, number, frame)
            for inside, page, count in parts:
                source = frame[inside * PAGE_BYTES : (inside + count) * PAGE_BYTES]
                into[page * PAGE_BYTES : (page + count) * PAGE_BYTES] = source

    def check(self, pieces: Sequence[tuple[int, int, int]]) -> None:
        """DamagedSnapshot where load() would raise it."""
        unpacker = zstandard.ZstdDecompressor()
        scratch = memoryview(bytearray(FRAME_PAGES * PAGE_BYTES))
        for number in sorted(self._by_frame(pieces)):
            self._unpack(unpacker, number, scratch[: self._directory.frames[number][1] * PAGE_BYTES])

    def differing(self, pieces: Sequence[tuple[int, int, int]], memory: memoryview) -> Iterator[int]:
        """The pages of `memory` that are not those which load() would put there."""
        return self._unlike(pieces, memory) if self._directory.quick else self._unlike_unpacked(pieces, memory)

    def _unlike(self, pieces: Sequence[tuple[int, int, int]], memory: memoryview) -> Iterator[int]:
        """The same by the quick hashes."""
        for position, page, count in pieces:
            expected = self._directory.quick[position * QUICK_BYTES : (position + count) * QUICK_BYTES]
            found = quick_hashes(_pages(memory, page, count))
            if found != expected:
                places = range(0, len(found), QUICK_BYTES)
                same = (found[at : at + QUICK_BYTES] == expected[at : at + QUICK_BYTES] for at in places)
                yield from (at for at, alike in enumerate(same, page) if not alike)

    def _unlike_unpacked(self, pieces: Sequence[tuple[int, int, int]], memory: memoryview) -> Iterator[int]:
        """The same by the pages themselves."""
        unpacker = zstandard.ZstdDecompressor()
        # Bytearrays are compared as a whole, views byte by byte.
        scratch = bytearray(FRAME_PAGES * PAGE_BYTES)
        for number, parts in sorted(self._by_frame(pieces).items()):
            pages = self._directory.frames[number][1]
            with memoryview(scratch) as view:
                self._unpack(unpacker, number, view[: pages * PAGE_BYTES])
            for inside, page, count in parts:
                if scratch[inside * PAGE_BYTES : (inside + count) * PAGE_BYTES] != _pages(memory, page, count):
                    here = (scratch[at * PAGE_BYTES : (at + 1) * PAGE_BYTES] for at in range(inside, inside + count))
                    yield from (at for at, wanted in enumerate(here, page) if wanted != _pages(memory, at, 1))

    def _by_frame(self, pieces: Sequence[tuple[int, int, int]]) -> dict[int, list[Piece]]:
        """The pieces cut at the ends of frames."""
        found: dict[int, list[Piece]] = {}
        for start, first, wanted in pieces:
            position, page, count = start, first, wanted
            while count:
                frame = bisect_right(self._starts, position) - 1
                inside = position - self._starts[frame]
                part = min(count, self._directory.frames[frame][1] - inside)
                found.setdefault(frame, []).append((inside, page, part))
                position, page, count = position + part, page + part, count - part
        return found

    def _unpack(self, unpacker: zstandard.ZstdDecompressor, number: int, into: memoryview) -> None:
        size, _, checksum = self._directory.frames[number]
        data = self._read(self._offsets[number], size)
        if CHECKSUM.unpack(data[-CHECKSUM.size :])[0] != checksum:
            raise self._damaged(f"frame {number} is another one, or damaged")
        try:
            # The size first: what a frame says of itself must not be written behind the end of `into`.  The last read
            # goes over the checksum.
            with unpacker.stream_reader(data) as reader:
                whole = zstandard.frame_content_size(data) == len(into) == reader.readinto(into)
                good = whole and not reader.read(1)
        except zstandard.ZstdError as error:
            raise self._damaged(f"frame {number} is damaged: {error}") from error
        if not good:
            raise self._damaged(f"frame {number} is damaged: it holds another number of pages")

    def _open(self, number: int) -> None:
        size = os.fstat(self._fd).st_size
        shortest = len(MAGIC) + FOOTER.size
        if size < shortest or self._read(0, len(MAGIC)) != MAGIC:
            raise self._damaged("not a file of pages, or one of another version of dejavm")
        length, digest, magic = FOOTER.unpack(self._read(size - FOOTER.size, FOOTER.size))
        if magic != MAGIC or length > min(size - shortest, _DIRECTORY_MOST):
            raise self._damaged("the end of the file is missing or damaged")
        data = self._read(size - FOOTER.size - length, length)
        if digest_of(data) != digest:
            raise self._damaged("the index of the pages is damaged")
        try:
            self._directory = directory = decode(Directory, data)
            self._firsts, self._counts = column_of(directory.firsts), column_of(directory.counts)
        except (StateError, ValueError) as error:
            raise self._damaged(f"the index of the pages cannot be used: {error}") from error
        if directory.number != number:
            raise self._damaged(f"pages {directory.number} of recording {directory.recording}")
        self._measure(size - FOOTER.size - length)

    def _measure(self, end: int) -> None:
        """Work out where everything is; `end` is the byte at which the hashes end."""
        frames = self._directory.frames
        if any(not 0 < frame[1] <= FRAME_PAGES or not CHECKSUM.size < frame[0] <= _FRAME_MOST for frame in frames):
            raise self._damaged("the index does not fit the file")
        self._offsets = array("Q", accumulate((frame[0] for frame in frames), initial=len(MAGIC)))
        self._starts = array("Q", accumulate((frame[1] for frame in frames), initial=0))
        self._before = array("Q", accumulate(self._counts, initial=0))
        self.pages = self._starts[-1]
        if (
            len(self._firsts) != len(self._counts)
            or any(first + count > _SLOTS for first, count in zip(self._firsts, self._counts, strict=True))
            or self._before[-1] != self.pages
            or self._offsets[-1] + self.pages * HASH_BYTES != end
            or len(self._directory.quick) not in (0, self.pages * QUICK_BYTES)
        ):
            raise self._damaged("the index does not fit the file")

    def _read(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise self._damaged(f"cannot read the pages: {error.strerror}") from error
        if len(data) != size:
            raise self._damaged("the file has become shorter")
        return data

    def _damaged(self, what: str) -> DamagedSnapshot:
        return DamagedSnapshot(f"{self.path}: {what}; the snapshots that need it cannot be used")


def _pages(memory: memoryview, first: int, count: int) -> memoryview:
    return memory[first * PAGE_BYTES : (first + count) * PAGE_BYTES]
