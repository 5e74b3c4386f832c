"""Where in a log one may begin to read: in front of a chunk, with what has to be known of everything before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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

    offset: int = 0
    seq: int = 0
    icount: int = 0
    chain: bytes = BEFORE_ALL
    channels: tuple[tuple[int, int, int, int], ...] = ()


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
