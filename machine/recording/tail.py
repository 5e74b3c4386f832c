"""The end of a log read by itself: how far the recording goes, without reading all of it.

The summary is only believed when its checksum is good; whoever replays the log still checks every chunk.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Statistics

from machine.codec import type_of
from machine.frame import Frame, class_of
from machine.message import End, MessageClass
from machine.recording.chunk import Content, Damage, Routes, add_channel, open_chunk, read_content
from machine.recording.format import HIGHEST_CHUNK_BYTES
from machine.recording.place import START
from machine.recording.walk import FOOTER, RECORD, TRAILER_BYTES, crc_of, footer_of, is_no_summary

if TYPE_CHECKING:
    from pathlib import Path

    from machine.recording.place import Point

END_TYPE = type_of(End)
_CHUNK_TIMES_BYTES = 16
"""What stands in a chunk index in front of where its chunk is (MCAP, Chunk Index)."""
_CHUNK_PLACE = struct.Struct("<QQ")
"""chunk_start_offset, chunk_length."""
CHANNEL_ID = struct.Struct("<H")
"""A message record's first field."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How far a closed log goes, what was before its first message counted; whether its last message is End."""

    icount: int
    messages: int
    inputs: int
    ended: bool


def read_tail(path: Path, start: Point = START) -> Tail | None:
    """The tail of a closed log that begins at `start`; None if it is unclosed or its end is damaged.

    OSError as the host has it.
    """
    with path.open("rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size, start)
        except (Damage, McapError, struct.error, ValueError, KeyError):
            return None


def _read(file: BinaryIO, size: int, before: Point) -> Tail | None:
    if size < TRAILER_BYTES:
        return None
    file.seek(size - TRAILER_BYTES)
    trailer = file.read(TRAILER_BYTES)
    start = FOOTER.unpack_from(trailer)[2]
    if not 0 < start <= size - TRAILER_BYTES or is_no_summary(start, size - TRAILER_BYTES):
        return None
    file.seek(start)
    if footer_of(trailer, crc_of(file, size - TRAILER_BYTES - start)) != start:
        return None
    routes, statistics, last_chunk = _read_summary(file, start, size - TRAILER_BYTES)
    if statistics is None or not statistics.message_count:
        return None
    counts = {channel: n for channel, n in statistics.channel_message_counts.items() if channel != routes.links}
    messages = before.seq + sum(counts.values())
    inputs = before.inputs + sum(
        n for channel, n in counts.items() if class_of(routes[channel].type) is MessageClass.INPUT
    )
    last = _last_frame(file, last_chunk, routes, messages)
    return Tail(last.icount, messages, inputs, last.type == END_TYPE)


def _read_summary(file: BinaryIO, start: int, end: int) -> tuple[Routes, Statistics | None, tuple[int, int]]:
    """The channels, the statistics, and of the chunk indexes that of the last chunk: its first byte and its length.

    A machine that has run for weeks has millions of chunks: no index is kept but one.
    """
    routes, statistics, last = Routes(), None, (0, 0)
    at = file.seek(start)
    while at < end:
        opcode, length = RECORD.unpack(file.read(RECORD.size))
        at += RECORD.size + length
        if at > end or length > HIGHEST_CHUNK_BYTES:
            raise Damage("a record of the summary is longer than it can be")
        body = file.read(length)
        if opcode == Opcode.CHANNEL:
            add_channel(routes, Channel.read(ReadDataStream(BytesIO(body))))
        elif opcode == Opcode.STATISTICS and statistics is None:
            statistics = Statistics.read(ReadDataStream(BytesIO(body)))
        elif opcode == Opcode.CHUNK_INDEX:
            last = max(last, _CHUNK_PLACE.unpack_from(body, _CHUNK_TIMES_BYTES))
    return routes, statistics, last


def _last_frame(file: BinaryIO, chunk_place: tuple[int, int], routes: Routes, last_seq: int) -> Frame:
    """The last message, from the last chunk, whose frames are numbered backwards from the last."""
    offset, length = chunk_place
    if not offset or length > HIGHEST_CHUNK_BYTES:
        raise Damage("no last chunk")
    file.seek(offset)
    record = file.read(length)
    if len(record) != length or RECORD.unpack_from(record) != (Opcode.CHUNK, len(record) - RECORD.size):
        raise Damage("no chunk where the summary says")
    chunk = open_chunk(record[RECORD.size :])
    content = Content()
    read_content(chunk, routes, last_seq + 1 - _count(chunk.data, routes.links), content)
    return content.frames[-1]


def _count(data: bytes, links: int) -> int:
    """How many messages a chunk's records hold, its link not counted."""
    count = at = 0
    while at < len(data):
        opcode, length = RECORD.unpack_from(data, at)
        count += opcode == Opcode.MESSAGE and CHANNEL_ID.unpack_from(data, at + RECORD.size)[0] != links
        at += RECORD.size + length
    return count
