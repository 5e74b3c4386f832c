"""Frames on a byte stream, as QEMU and passt send them: a 4-byte big-endian length, then the frame."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH: Final = struct.Struct(">I")
LONGEST: Final = 1 << 16
"""The longest frame a peer may announce, bytes; what announces more has lost its place in the stream."""


class BrokenFramingError(Exception):
    """A peer announced a frame that is too long."""


class FrameReader:
    """Bytes in, whole frames out; a part of a frame waits for the rest."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that these bytes complete; BrokenFramingError, for good, once the next length is too great.

        Whole frames in front of that are told first.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at = 0
        while at + LENGTH.size <= len(buffer):
            (size,) = LENGTH.unpack_from(buffer, at)
            if size > LONGEST:
                if frames:
                    break
                raise BrokenFramingError(f"a frame of {size} bytes")
            end = at + LENGTH.size + size
            if end > len(buffer):
                break
            frames.append(bytes(buffer[at + LENGTH.size : end]))
            at = end
        del buffer[:at]
        return frames

    @property
    def is_broken(self) -> bool:
        """Whether the next length is too great."""
        return len(self._buffer) >= LENGTH.size and LENGTH.unpack_from(self._buffer)[0] > LONGEST


def frame_bytes(frames: Iterable[bytes]) -> bytes:
    """The stream's bytes for frames."""
    parts: list[bytes] = []
    for frame in frames:
        parts.append(LENGTH.pack(len(frame)))
        parts.append(frame)
    return b"".join(parts)
