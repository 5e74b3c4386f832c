"""Where in a log one may begin to read: in front of a chunk, with what has to be known of everything before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from machine.bounds import U64, Count, Long
from machine.recording.chain import BEFORE_ALL
from machine.vmstate import vmstate


@vmstate("place", 1)
@dataclass(slots=True)
class Place:
    """In front of a chunk of log.mcap.  The place a default-made one means is the log's beginning.

    `offset` is the byte where the chunk's record begins; `seq`, `icount` and `chain` are those of the last message
    before it; `channels` those that chunks before have defined, as (number, type, source, target), with type 0 for
    the one that carries links.
    """

    offset: Count = 0
    seq: Count = 0
    icount: U64 = 0
    chain: Annotated[bytes, Long(32, 32)] = BEFORE_ALL
    channels: tuple[tuple[Count, Count, Count, Count], ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """Between two messages of a log: behind message `seq`, with `inputs` inputs and the `chain` up to there.

    `place` is where reading begins that comes to it.
    """

    place: Place
    seq: int
    inputs: int
    chain: bytes


START: Final = Point(Place(), 0, 0, BEFORE_ALL)
"""In front of everything."""
