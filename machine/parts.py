"""What is too large for one message, in parts, as SavedPages carries it: guest memory, a device's past.

Lives here: packing parts, and believing none that does not fit.  Never here: what they are parts of.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import zstandard

from machine.codec import decode_frame, encode_header
from machine.errors import RemoteWireError
from machine.message import SavedPages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from machine.frame import Frame

PART_BYTES: Final = 1 << 18
MOST_BYTES: Final = 1 << 20
"""In one part, unpacked."""
LEVEL: Final = 1
"""Of zstd: faster than a gigabit a second, and memory becomes a fifth."""
_SIZES: Final = struct.Struct("<II")
"""Bytes of a frame's header and of its payload."""


def pack_part(offset: int, data: memoryview | bytes) -> SavedPages:
    """A part, `offset` bytes behind the beginning of what it is a part of."""
    return SavedPages(offset, zstandard.ZstdCompressor(level=LEVEL).compress(data))


def unpack_part(part: SavedPages, end: int) -> bytes:
    """The bytes of a part; RemoteWireError if it is none, or reaches behind `end`."""
    try:
        size = zstandard.frame_content_size(part.data)
        if not 0 < size <= MOST_BYTES or part.offset + size > end:
            raise RemoteWireError(f"saved_pages of {size} bytes at {part.offset}, behind the end at {end}")
        return zstandard.ZstdDecompressor().decompress(part.data)
    except zstandard.ZstdError as error:
        raise RemoteWireError(f"saved_pages: {error}") from error


def parts_of_memory(memory: memoryview) -> Iterator[SavedPages]:
    """Guest memory, but for what is all zero."""
    zero = bytes(PART_BYTES)
    for at in range(0, len(memory), PART_BYTES):
        # Bytes are compared as a whole, views one by one.
        part = bytes(memory[at : at + PART_BYTES])
        if part != zero[: len(part)]:
            yield pack_part(at, part)


def parts_of_frames(frames: Iterable[Frame]) -> Iterator[SavedPages]:
    """Messages with their stamps, one behind the other; a part may end in the middle of one."""
    offset, waiting = 0, bytearray()
    for frame in frames:
        header = encode_header(frame)
        waiting += _SIZES.pack(len(header), len(frame.payload)) + header + frame.payload
        while len(waiting) >= PART_BYTES:
            yield pack_part(offset, bytes(waiting[:PART_BYTES]))
            offset += PART_BYTES
            del waiting[:PART_BYTES]
    if waiting:
        yield pack_part(offset, bytes(waiting))


def read_frames(file: BufferedReader) -> Iterator[Frame]:
    """The messages of a file that parts_of_frames() has been put into; RemoteWireError if they are not whole."""
    while sizes := file.read(_SIZES.size):
        if len(sizes) < _SIZES.size:
            raise RemoteWireError("a device's past ends in the middle of a message")
        header_bytes, payload_bytes = _SIZES.unpack(sizes)
        header, payload = file.read(header_bytes), file.read(payload_bytes)
        if len(payload) < payload_bytes:
            raise RemoteWireError("a device's past ends in the middle of a message")
        yield decode_frame(header, payload)
