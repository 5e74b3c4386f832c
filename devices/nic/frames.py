"""Frames in one message between card and backend: each preceded by its length, two bytes, big-endian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH_BYTES: Final = 2
MESSAGE_FRAMES: Final = 64
MESSAGE_BYTES: Final = 1 << 16
"""The most that one message holds."""


def pack_frame(frame: bytes) -> bytes:
    """One frame as it stands in a message."""
    return len(frame).to_bytes(LENGTH_BYTES, "big") + frame


def split_frames(data: bytes) -> Iterator[bytes]:
    """The frames of a message; what is cut off at its end is left out."""
    at = 0
    while (start := at + LENGTH_BYTES) <= len(data):
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            return
        yield data[start:at]


def whole_frames(data: bytes, taken: int) -> int:
    """Of `taken` bytes of a message, those that are whole frames."""
    at = 0
    while (start := at + LENGTH_BYTES) <= taken:
        end = start + int.from_bytes(data[at:start], "big")
        if end > taken:
            break
        at = end
    return at
