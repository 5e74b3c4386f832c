"""When the host wrote each message down; nothing in a replay depends on it, so readers of messages do not see it.

Lives here: the publish times of a log.  Never here: whether the log is good; whoever reads its messages checks that.
"""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel

from machine.recording.chunk import Chunk, Damage, open_chunk
from machine.recording.format import HIGHEST_CHUNK_BYTES, LINK_CLASS, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RECORD: Final = struct.Struct("<BQ")
_MESSAGE: Final = struct.Struct("<BQHIQQ")
"""Opcode, record length, channel_id, sequence, log_time, publish_time."""


def host_times(path: Path) -> Iterator[int]:
    """The host's clock at each message of a log file, in its order, in nanoseconds since the Unix epoch.

    Ends at the first byte that is not as it should be.  Meant to be walked beside Recording.frames(), which says why.
    """
    return (time_ns for _, time_ns in moments(path))


def moments(path: Path) -> Iterator[tuple[int, int]]:
    """The instruction count and the host's clock at each message; 2 million a second; nothing is checked but chunks.

    Ends as host_times().
    """
    links: set[int] = set()
    try:
        with path.open("rb") as file:
            file.seek(len(MAGIC))
            while (chunk := _next_chunk(file)) is not None:
                yield from _times(chunk, links)
    except (OSError, Damage, McapError, struct.error, ValueError):
        return


def times_in(body: bytes, links: int) -> list[int]:
    """The host's clock at each message of one good chunk, by its record's body; `links` is the channel of links."""
    return [time_ns for _, time_ns in _times(open_chunk(body), {links})]


class HostClock:
    """The host's clock at messages that are asked for in the order of seq."""

    def __init__(self, path: Path, before: int = 0) -> None:
        """`before` is the number of the last message that is not in the log, but in front of it."""
        self._times = host_times(path)
        self._seq = before

    def at(self, seq: int) -> int | None:
        """When message `seq` was written down, in nanoseconds since the Unix epoch; None if that cannot be read.

        `seq` is greater than at the last call.
        """
        skipped = seq - self._seq - 1
        self._seq = seq
        return next(islice(self._times, skipped, None), None)


def _next_chunk(file: BinaryIO) -> Chunk | None:
    while True:
        opcode, length = _RECORD.unpack(file.read(_RECORD.size))
        if length > HIGHEST_CHUNK_BYTES or opcode not in (Opcode.HEADER, Opcode.CHUNK):
            return None
        body = file.read(length)
        if opcode == Opcode.CHUNK:
            return open_chunk(body)


def _times(chunk: Chunk, links: set[int]) -> list[tuple[int, int]]:
    """The moments of a chunk's messages; the channels that carry no messages of ours go into `links`."""
    data = chunk.data
    times: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        if opcode == Opcode.MESSAGE:
            _, _, channel, _, icount, time_ns = _MESSAGE.unpack_from(data, at)
            if channel not in links:
                times.append((icount, time_ns))
        elif opcode == Opcode.CHANNEL:
            start = at + _RECORD.size
            found = Channel.read(ReadDataStream(BytesIO(data[start : start + length])))
            if found.metadata.get("class") == LINK_CLASS:
                links.add(found.id)
        at += _RECORD.size + length
    return times
