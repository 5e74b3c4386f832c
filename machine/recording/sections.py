"""A log as MCAP's sections: header, chunks, summary, made of the records of the mcap package.

Its own Writer keeps an object for each chunk until the end, and then all of the end at once: for a machine that runs
for weeks that has no bound.  Here the chunk indexes are in a file of their own until the summary is written.

Lives here: which record comes where.  Never here: what a message says, when a chunk is closed.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Header,
    Message,
    Schema,
    Statistics,
    SummaryOffset,
)
from mcap.writer import LIBRARY_IDENTIFIER

from machine.recording.chunk import header_of
from machine.recording.format import COMPRESSION, MAGIC, MESSAGE_ENCODING, PROFILE, SCHEMA_ENCODING
from machine.recording.walk import FOOTER, FOOTER_LENGTH, RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mcap.records import McapRecord

    from machine.recording.logfile import LogFile

_KEPT_BYTES: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 20


class Sections:
    """What is said of a log, into its file; LogError from close_chunk() and finish() as the file has it.

    The chunk indexes, 84 bytes each, are in a nameless file beside the log until the end; where there is no room for
    it, in memory.
    """

    def __init__(self, file: LogFile, directory: Path) -> None:
        self._file = file
        self._directory = directory
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._counts: Counter[int] = Counter()
        self._chunks = 0
        self._open = RecordBuilder()
        self._times: list[int] = []
        """The log times of the open chunk's messages."""
        self._first, self._last = 0, 0
        self._indexes = bytearray()
        """The newest chunk indexes, which are not in the nameless file yet."""
        self._spill: IO[bytes] | None = None
        self._crc = 0
        self._say(MAGIC + _bytes(Header(PROFILE, LIBRARY_IDENTIFIER)))

    def add_schema(self, name: str, data: bytes) -> int:
        """A schema, in the open chunk; its number."""
        self._schemas.append(Schema(id=len(self._schemas) + 1, data=data, encoding=SCHEMA_ENCODING, name=name))
        self._schemas[-1].write(self._open)
        return len(self._schemas)

    def add_channel(self, topic: str, metadata: dict[str, str], schema: int = 0) -> int:
        """A channel, in the open chunk; its number.  `schema` 0: its messages have none."""
        number = len(self._channels) + 1
        encoding = MESSAGE_ENCODING if schema else ""
        channel = Channel(id=number, topic=topic, message_encoding=encoding, metadata=metadata, schema_id=schema)
        channel.write(self._open)
        self._channels.append(channel)
        return number

    def add_message(self, message: Message) -> None:
        """A message, in the open chunk."""
        message.write(self._open)
        self._times.append(message.log_time)
        self._counts[message.channel_id] += 1

    def close_chunk(self) -> None:
        """Give the open chunk to the host; without a message it is none."""
        if self._times:
            self._say_chunk(min(self._times), max(self._times))
            self._times.clear()
        self._give()

    def _give(self) -> None:
        self._file.flush()
        if len(self._indexes) < _KEPT_BYTES:
            return
        with suppress(OSError):
            if self._spill is None:
                self._spill = TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # close() closes it
            while self._indexes:
                del self._indexes[: self._spill.write(self._indexes)]

    def adopt(self, body: bytes, counts: Mapping[int, int]) -> None:
        """A chunk that the file has: the body of its record, and how many messages of each channel are in it.

        It says no schema or channel that is new.
        """
        first, last, size, packed = header_of(body)
        self._counts.update(counts)
        self._enter(RECORD.pack(Opcode.CHUNK, len(body)) + body, first, last, size, packed)
        self._give()

    def finish(self) -> None:
        """Say the summary; where the host has no room for all of it there is nothing of it."""
        self.close_chunk()
        self._file.write(_bytes(DataEnd(self._crc)))
        start, crc, offsets = self._file.tell(), 0, bytearray()
        for opcode, records in (
            (Opcode.SCHEMA, map(_bytes, self._schemas)),
            (Opcode.CHANNEL, map(_bytes, self._channels)),
            (Opcode.STATISTICS, iter((_bytes(self._statistics()),))),
            (Opcode.CHUNK_INDEX, self._pieces()),
        ):
            group = self._file.tell()
            for data in records:
                crc = zlib.crc32(data, crc)
                self._file.write(data)
                self._file.flush(more=True)
            offsets += _bytes(
                SummaryOffset(group_opcode=opcode, group_start=group, group_length=self._file.tell() - group)
            )
        footer = FOOTER.pack(Opcode.FOOTER, FOOTER_LENGTH, start, self._file.tell(), 0)[:-4]
        offsets += footer
        self._file.write(bytes(offsets) + zlib.crc32(offsets, crc).to_bytes(4, "little") + MAGIC)
        self._file.flush()

    def close(self) -> None:
        """Let go; what has only been gathered is lost."""
        self._file.close()
        if self._spill is not None:
            self._spill.close()

    def _say(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._file.write(data)

    def _say_chunk(self, first: int, last: int) -> None:
        content: bytes = self._open.end()  # type: ignore[no-untyped-call]
        packed = zstandard.compress(content)
        record = _bytes(
            Chunk(
                compression=COMPRESSION,
                data=packed,
                message_end_time=last,
                message_start_time=first,
                uncompressed_crc=zlib.crc32(content),
                uncompressed_size=len(content),
            )
        )
        self._enter(record, first, last, len(content), len(packed))

    def _enter(self, record: bytes, first: int, last: int, size: int, packed: int) -> None:
        """A chunk's record, and its index: the log times it spans, the bytes of its records, and of those packed."""
        self._first = min(self._first, first) if self._chunks else first
        self._last = max(self._last, last)
        self._chunks += 1
        self._indexes += _bytes(
            ChunkIndex(
                message_start_time=first,
                message_end_time=last,
                chunk_start_offset=self._file.tell(),
                chunk_length=len(record),
                message_index_offsets={},
                message_index_length=0,
                compression=COMPRESSION,
                compressed_size=packed,
                uncompressed_size=size,
            )
        )
        self._say(record)

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(self._counts),
            chunk_count=self._chunks,
            message_count=self._counts.total(),
            message_end_time=self._last,
            message_start_time=self._first,
            metadata_count=0,
            schema_count=len(self._schemas),
        )

    def _pieces(self) -> Iterator[bytes]:
        """The chunk indexes from first to last."""
        if self._spill is not None:
            at = 0
            while piece := os.pread(self._spill.fileno(), _PIECE_BYTES, at):
                yield piece
                at += len(piece)
        yield bytes(self._indexes)


def _bytes(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    data: bytes = builder.end()  # type: ignore[no-untyped-call]
    return data
