"""One chunk of a log: the bytes of its record in, the frames in it out, every field distrusted.

Lives here: checksums, lengths, the order of seq within a chunk.
Never here: the file around it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Final

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel

from machine.frame import FIRST_INPUT_TYPE, Frame
from machine.recording.format import COMPRESSION, HIGHEST_CHUNK_BYTES, HIGHEST_NODE, LINK_CLASS, SEQ_MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK: Final = struct.Struct("<QQQII")
"""message_start_time, message_end_time, uncompressed_size, uncompressed_crc, length of the compression's name."""
_LENGTH: Final = struct.Struct("<Q")
_RECORD: Final = struct.Struct("<BQ")
_MESSAGE: Final = struct.Struct("<BQHIQQ")
"""Opcode, record length, channel_id, sequence, log_time, publish_time."""
_MESSAGE_FIELDS: Final = _MESSAGE.size - _RECORD.size


class Damage(Exception):
    """What is wrong with a chunk; the reader knows where it lies."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a channel says of each of its messages."""

    type: int
    source: int
    target: int


class Routes(dict[int, Route]):
    """Channels by number; `links` is the number of the one that carries links."""

    links = -1


@dataclass(slots=True)
class Content:
    """What a chunk holds: the link it began with, if any, and its messages."""

    link: bytes = b""
    frames: list[Frame] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk whose checksum is good: its records, and the icounts it says it spans."""

    start_icount: int
    end_icount: int
    data: bytes


def open_chunk(body: bytes) -> Chunk:
    """The chunk in a record's body; Damage if its checksum or any length is wrong.

    Nothing is allocated by a length that the body itself does not bear out.
    """
    if len(body) < _CHUNK.size:
        raise Damage("chunk is too short for its header")
    start, end, size, crc, name_size = _CHUNK.unpack_from(body)
    at = _CHUNK.size + name_size
    name = body[_CHUNK.size : at]
    if len(body) < at + _LENGTH.size or _LENGTH.unpack_from(body, at)[0] != len(body) - at - _LENGTH.size:
        raise Damage("chunk's length is not its record's")
    if name != COMPRESSION.encode():
        raise Damage(f"chunk is compressed with {name[:16]!r}, not with {COMPRESSION}")
    data = _expand(body[at + _LENGTH.size :], size)
    if zlib.crc32(data) != crc:
        raise Damage("chunk's checksum is wrong")
    return Chunk(start, end, data)


def header_of(body: bytes) -> tuple[int, int, int, int]:
    """Of the body of a good chunk's record: first and last icount, bytes of its records, and of those packed."""
    start, end, size, _, name_size = _CHUNK.unpack_from(body)
    return start, end, size, len(body) - _CHUNK.size - name_size - _LENGTH.size


def could_be_chunk(start: bytes, length: int) -> bool:
    """Whether a record of so many bytes, of which only these are there, can be a chunk that was being written."""
    if len(start) < _CHUNK.size:
        return True
    at = _CHUNK.size + int(_CHUNK.unpack_from(start)[-1])
    if len(start) < at + _LENGTH.size:
        return at + _LENGTH.size <= length
    return bool(_LENGTH.unpack_from(start, at)[0] == length - at - _LENGTH.size)


def _expand(packed: bytes, size: int) -> bytes:
    if size > HIGHEST_CHUNK_BYTES:
        raise Damage(f"chunk of {size} bytes is larger than any that is written")
    try:
        # The library allocates what the compressed frame's own header says, so that is looked at first.
        if zstandard.frame_content_size(packed) != size:
            raise Damage("chunk's size is not that of its compressed bytes")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Damage(f"chunk does not decompress: {error}") from error


def read_content(chunk: Chunk, routes: Routes, seq: int, content: Content) -> None:
    """Fill in what a chunk holds, whose first message must be number `seq`; new channels go into `routes`.

    Damage if a record is malformed or a number is missing; `content` then has what came before.
    """
    frames = content.frames
    data = chunk.data
    end = len(data)
    at = 0
    unpack, fields, message = _MESSAGE.unpack_from, _MESSAGE.size, int(Opcode.MESSAGE)
    append = frames.append
    while at < end:
        if data[at] != message or at + fields > end:
            at = _read_definition(data, at, routes)
            continue
        _, length, channel, sequence, icount, _ = unpack(data, at)
        stop = at + length + _RECORD.size
        if length < _MESSAGE_FIELDS or stop > end:
            raise Damage(f"message {seq} is longer than its chunk")
        if sequence != seq & SEQ_MASK:
            raise Damage(f"message {sequence} where {seq} belongs")
        route = routes.get(channel)
        if route is None:
            if channel != routes.links or frames or content.link:
                raise Damage(f"message {seq} is on channel {channel}, which nothing defines or which must come first")
            content.link = data[at + fields : stop]
            at = stop
            continue
        append(Frame(route.type, route.source, route.target, icount, data[at + fields : stop], seq))
        seq += 1
        at = stop
    _check_span(chunk, frames)


def _check_span(chunk: Chunk, frames: list[Frame]) -> None:
    icounts = [frame.icount for frame in frames]
    if not icounts or (min(icounts), max(icounts)) != (chunk.start_icount, chunk.end_icount):
        frames.clear()
        raise Damage("chunk does not span what its header says")


def _read_definition(data: bytes, at: int, routes: Routes) -> int:
    """Read the schema or channel at an offset; the offset behind it."""
    if at + _RECORD.size > len(data):
        raise Damage("chunk ends in the middle of a record")
    opcode, length = _RECORD.unpack_from(data, at)
    start = at + _RECORD.size
    stop = start + length
    if stop > len(data):
        raise Damage("a record is longer than its chunk")
    if opcode == Opcode.CHANNEL:
        _read_channel(data[start:stop], routes)
    elif opcode != Opcode.SCHEMA:
        raise Damage(f"chunk holds a record of kind {opcode}")
    return int(stop)


def _read_channel(body: bytes, routes: Routes) -> None:
    try:
        channel = Channel.read(ReadDataStream(BytesIO(body)))
        add_channel(routes, channel)
    except (McapError, struct.error, ValueError) as error:
        raise Damage(f"channel is malformed: {error}") from error


def add_channel(routes: Routes, channel: Channel) -> None:
    """Remember a channel; Damage if it is not one of ours."""
    if channel.metadata.get("class") == LINK_CLASS:
        routes.links = channel.id
    else:
        routes[channel.id] = route_of(channel.metadata)


def route_of(metadata: Mapping[str, str]) -> Route:
    """What a channel's metadata says; Damage if it is not a channel of ours."""
    try:
        numbers = [int(metadata[key]) for key in ("type", "source", "target")]
    except (KeyError, ValueError) as error:
        raise Damage("channel does not say type, source and target") from error
    if numbers[0] < FIRST_INPUT_TYPE or not all(0 <= number <= HIGHEST_NODE for number in numbers):
        raise Damage(f"channel's type, source and target are {numbers}")
    return Route(*numbers)
