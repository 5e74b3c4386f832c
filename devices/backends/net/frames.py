"""Frames of a network card as messages carry them: each behind its length, several in one message.

A message is (u16 big-endian length, frame)*, at most MESSAGE_FRAMES frames and MESSAGE_BYTES bytes with the lengths.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MESSAGE_FRAMES: Final = 64
MESSAGE_BYTES: Final = 1 << 16
LENGTH: Final = struct.Struct(">H")
LARGEST_FRAME: Final = MESSAGE_BYTES - LENGTH.size
"""The largest frame, in bytes, that fits into a message; a card may take less."""


def pack(frames: Iterable[bytes]) -> bytes:
    """One message of frames of at most LARGEST_FRAME bytes; the caller counts."""
    parts: list[bytes] = []
    for frame in frames:
        parts.append(LENGTH.pack(len(frame)))
        parts.append(frame)
    return b"".join(parts)


def unpack(data: bytes) -> Iterator[bytes]:
    """The frames of a message; what is behind the last whole one is left out."""
    at = 0
    while at + LENGTH.size <= len(data):
        end = at + LENGTH.size + int.from_bytes(data[at : at + LENGTH.size], "big")
        if end > len(data):
            return
        yield data[at + LENGTH.size : end]
        at = end
