"""Walking a log from its first byte, strictly: what is not as the format says ends the walk.

MCAP's own stream reader skips what it does not know and trusts lengths; a log that is to be replayed
bit for bit must not be read that way.  The grammar here: magic, Header, Chunk..., DataEnd, summary,
Footer, magic (docs/log-format.md).

Lives here: the records of the file.  Never here: what is in a chunk.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from mcap.opcode import Opcode

from machine.errors import CorruptRecord, LogError, TruncatedLog
from machine.recording.chain import chain_of
from machine.recording.chunk import Content, Damage, Route, Routes, could_be_chunk, open_chunk, read_content
from machine.recording.format import HIGHEST_CHUNK_BYTES, LINKED_FORMAT, MAGIC, PROFILE
from machine.recording.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.frame import Frame

RECORD: Final = struct.Struct("<BQ")
FOOTER: Final = struct.Struct("<BQQQI")
"""Opcode, length, summary_start, summary_offset_start, summary_crc."""
FOOTER_LENGTH: Final = FOOTER.size - RECORD.size
TRAILER_BYTES: Final = FOOTER.size + len(MAGIC)
_DATA_END: Final = struct.Struct("<I")
_HEADER_BYTES: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 20
_LEAST_ROOM_BYTES: Final = 1 << 24
"""For schemas and channels.  A chunk's row in the summary is shorter than the chunk: what is longer than all of them is
a file with holes, of any size."""
_LIMITS: Final = {
    Opcode.HEADER: _HEADER_BYTES,
    Opcode.CHUNK: HIGHEST_CHUNK_BYTES,
    Opcode.DATA_END: _DATA_END.size,
}


@dataclass(frozen=True, slots=True)
class _Record:
    opcode: int
    offset: int
    body: bytes


class _OwnPosition:
    """An open file read at a position of our own: a descriptor's is shared with every fork of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    def read(self, size: int) -> bytes:
        """Up to that many bytes from here; fewer only at the file's end."""
        parts = []
        while size and (part := os.pread(self._descriptor, size, self._at)):
            parts.append(part)
            self._at += len(part)
            size -= len(part)
        return b"".join(parts)

    def seek(self, offset: int) -> int:
        """Go there."""
        self._at = offset
        return offset


class LogWalk:
    """One pass over a log file, from its beginning or, in formats that allow it, from a place in it."""

    def __init__(
        self, path: Path, recording_id: str, log_format: int, start: Place | None = None, closed_bytes: int = 0
    ) -> None:
        """`closed_bytes` is the log's size when it was closed; 0 if nobody has closed it, or it is not known."""
        self._path = path
        self._closed_bytes = closed_bytes
        self._id = recording_id
        self._linked = log_format >= LINKED_FORMAT
        self._start = start if start is not None and start.offset else None
        self.place = start or Place()
        """In front of the chunk that was handed out last."""
        self._chain = chain_of(log_format, self.place.chain)
        self._routes = _routes_of(self.place)
        self._offset = 0
        self._size = 0
        self._crc = 0
        self._seq = self.place.seq
        self._icount = self.place.icount
        self._headed = False
        self.body = b""
        """Of the record of the chunk that was handed out last, as the file has it."""
        self.closed = False
        """Whether the walk came to a valid footer; a writer that was killed leaves none."""

    def chunks(self) -> Iterator[list[Frame]]:
        """The frames of each chunk, in order.

        Raises TruncatedLog or CorruptRecord behind the last good frame; ends without either when the log is
        whole, or was never closed and ends with a record of which its writer has not written all.
        """
        try:
            with self._path.open("rb", buffering=0) as raw:
                self._size = os.fstat(raw.fileno()).st_size
                yield from self._walk(_OwnPosition(raw.fileno()))
        except OSError as error:
            raise LogError(f"{self._path}: cannot read the log: {error.strerror}") from error

    def digest(self) -> bytes:
        """The chain behind the chunk that was handed out last."""
        return self._chain.digest()

    def _walk(self, file: _OwnPosition) -> Iterator[list[Frame]]:
        self._read_magic(file)
        header = self._next_record(file)
        if header is None:
            raise self._truncated(self._offset, "nothing but the magic is there")
        self._check_header(header)
        if self._start is not None:
            if self._start.offset > self._size:
                raise self._truncated(self._size, f"it was to be read from byte {self._start.offset}")
            self._offset = file.seek(self._start.offset)
        while (record := self._next_record(file)) is not None:
            if record.opcode == Opcode.DATA_END:
                self._finish(file, record)
                return
            if record.opcode != Opcode.CHUNK:
                raise self._corrupt(record.offset, "a second header")
            yield from self._frames(record)
        if self._closed_bytes:
            raise self._truncated(self._offset, f"it had {self._closed_bytes} bytes when it was closed")

    def _frames(self, record: _Record) -> Iterator[list[Frame]]:
        content = Content()
        if self._linked:
            self._mark(record.offset)
        damage: Damage | None = None
        try:
            read_content(open_chunk(record.body), self._routes, self._seq + 1, content)
        except Damage as error:
            damage = error
        frames = content.frames
        if frames and self._linked:
            if content.link != self._chain.link(self._id):
                raise self._corrupt(record.offset, "this chunk is not of this recording, or not in its place")
            for frame in frames:
                self._chain.add(frame)
        if frames:
            self._seq = frames[-1].seq
            self._icount = frames[-1].icount
            self.body = record.body
            yield frames
        if damage is not None:
            raise self._corrupt(record.offset, str(damage)) from damage

    def _mark(self, offset: int) -> None:
        """Remember what is known in front of the chunk at an offset."""
        channels = self.place.channels
        if len(channels) != len(self._routes) + (self._routes.links >= 0):
            channels = channels_of(self._routes)
        self.place = Place(offset, self._seq, self._icount, self._chain.digest(), channels)

    def _read_magic(self, file: _OwnPosition) -> None:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                raise self._truncated(len(magic), "its magic is not complete")
            raise self._corrupt(0, "this is not an MCAP file")
        self._offset = len(magic)
        self._crc = zlib.crc32(magic)

    def _next_record(self, file: _OwnPosition) -> _Record | None:
        """The next record of the data section; None where the file ends between two."""
        offset = self._offset
        head = file.read(RECORD.size)
        if not head:
            return None
        if len(head) < RECORD.size:
            self._torn(offset, "a record's first bytes are missing")
            return None
        opcode, length = RECORD.unpack(head)
        limit = _LIMITS.get(opcode)
        if limit is None or length > limit:
            raise self._corrupt(offset, f"a record of kind {opcode} with {length} bytes does not belong here")
        if length > self._size - offset - RECORD.size:
            if opcode == Opcode.CHUNK and not could_be_chunk(file.read(length), length):
                raise self._corrupt(offset, f"a chunk cannot have {length} bytes")
            self._torn(offset, "its last record is not complete")
            return None
        body = file.read(length)
        self._offset = offset + RECORD.size + length
        if opcode != Opcode.DATA_END:
            self._crc = zlib.crc32(body, zlib.crc32(head, self._crc))
        return _Record(opcode, offset, body)

    def _torn(self, offset: int, detail: str) -> None:
        """The file ends in a record: by a kill in the middle of a write, unless it is known to have been longer."""
        if self._closed_bytes or not self._headed:
            raise self._truncated(offset, detail)

    def _check_header(self, record: _Record) -> None:
        profile = PROFILE.encode()
        expected = struct.pack("<I", len(profile)) + profile
        if record.opcode != Opcode.HEADER or not record.body.startswith(expected):
            raise self._corrupt(record.offset, f"its header is not that of a {PROFILE} log")
        self._headed = True

    def _finish(self, file: _OwnPosition, data_end: _Record) -> None:
        """Check what stands behind the last chunk: the data section's checksum, the summary, the footer."""
        # Who began in the middle has not seen all of what the checksum is of; each chunk has its own.
        if self._start is None and data_end.body != _DATA_END.pack(self._crc):
            raise self._corrupt(data_end.offset, "the checksum of all chunks is wrong")
        start, end = self._offset, self._size - TRAILER_BYTES
        if is_no_summary(start, end):
            raise self._corrupt(start, f"{end - start} bytes are no summary of it; all messages are good")
        crc = crc_of(file, end - start)
        trailer = file.read(TRAILER_BYTES)
        if len(trailer) < TRAILER_BYTES or not trailer.endswith(MAGIC):
            self._torn(self._offset, "its summary is not complete; all messages are there")
            return
        if footer_of(trailer, crc) != self._offset:
            raise self._corrupt(self._offset, "its summary is damaged; all messages are good")
        if self._closed_bytes not in (0, self._size):
            said = f"it has {self._size} bytes, and had {self._closed_bytes} when it was closed"
            raise self._corrupt(self._size, f"{said}; all messages are good")
        self.closed = True

    def _truncated(self, offset: int, detail: str) -> TruncatedLog:
        return TruncatedLog(str(self._path), offset, f"{detail}{self._good()}")

    def _corrupt(self, offset: int, detail: str) -> CorruptRecord:
        return CorruptRecord(str(self._path), offset, f"{detail}{self._good()}")

    def _good(self) -> str:
        return f"; good up to instruction {self._icount}, message {self._seq}"


def channels_of(routes: Routes) -> tuple[tuple[int, int, int, int], ...]:
    """The channels that a place knows."""
    rows = [(number, route.type, route.source, route.target) for number, route in routes.items()]
    return tuple(rows) if routes.links < 0 else (*rows, (routes.links, 0, 0, 0))


def _routes_of(place: Place) -> Routes:
    routes = Routes()
    for number, kind, source, target in place.channels:
        if kind:
            routes[number] = Route(kind, source, target)
        else:
            routes.links = number
    return routes


def is_no_summary(start: int, end: int) -> bool:
    """Whether it is too long to be one."""
    return end - start > start + _LEAST_ROOM_BYTES


def crc_of(file: BinaryIO | _OwnPosition, size: int) -> int:
    """The CRC-32 of the next `size` bytes of a file, in pieces: it may be longer than memory that somebody has."""
    crc = 0
    while size > 0 and (part := file.read(min(size, _PIECE_BYTES))):
        crc = zlib.crc32(part, crc)
        size -= len(part)
    return crc


def footer_of(trailer: bytes, crc: int) -> int | None:
    """Where the summary begins that has this CRC-32, as a file's last bytes say; None if one of them is damaged."""
    opcode, length, start, _, expected = FOOTER.unpack_from(trailer)
    if opcode != Opcode.FOOTER or length != FOOTER_LENGTH or trailer[FOOTER.size :] != MAGIC:
        return None
    covered = trailer[: FOOTER.size - _DATA_END.size]
    return int(start) if zlib.crc32(covered, crc) == expected else None
