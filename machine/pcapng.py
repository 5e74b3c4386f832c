"""Blocks of a packet capture, as the pcapng specification has them (IETF draft-ietf-opsawg-pcapng).

Little-endian, one section, one interface for each network card.  Each packet's comment is `icount=N`.
"""

from __future__ import annotations

import struct
from typing import Final

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE_DESCRIPTION: Final = 1
ENHANCED_PACKET: Final = 6
"""Block types (sections 4.1, 4.2 and 4.3)."""
BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
UNKNOWN_LENGTH: Final = -1
ETHERNET: Final = 1
"""LINKTYPE_ETHERNET."""
NO_LIMIT: Final = 0
COMMENT: Final = 1
USER_APPLICATION: Final = 4
"""Option of a section."""
INTERFACE_NAME: Final = 2
INTERFACE_DESCRIPTION_TEXT: Final = 3
TIME_RESOLUTION: Final = 9
NANOSECONDS: Final = b"\x09"
"""Options of an interface: ten to the power of minus nine seconds."""
PACKET_FLAGS: Final = 2
"""Option of a packet; its lowest bits are the direction, seen from the captured interface."""
INBOUND: Final = 1
OUTBOUND: Final = 2
INSTRUCTIONS: Final = "times are instructions of the guest, one a nanosecond"
"""What times mean where nobody knows how long the guest has slept."""

_HEAD: Final = struct.Struct("<II")
_TAIL: Final = struct.Struct("<I")
_OPTION: Final = struct.Struct("<HH")
_SECTION: Final = struct.Struct("<IHHq")
_INTERFACE: Final = struct.Struct("<HHI")
_PACKET: Final = struct.Struct("<IIIII")


def head(*names: str, times: str = INSTRUCTIONS) -> bytes:
    """The beginning of a file: a section and its interfaces, the network cards `names`, numbered from 0.

    `times` says for readers what the packets' times are.
    """
    section = _SECTION.pack(BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH) + _options((USER_APPLICATION, b"dejavm"))
    return _block(SECTION_HEADER, section) + b"".join(_interface(name, times) for name in names)


def packet(frame: bytes, icount: int, *, inbound: bool, interface: int = 0, time_ns: int | None = None) -> bytes:
    """One Ethernet frame, towards the guest if `inbound`; without `time_ns` its time is `icount`."""
    options = _options(
        (COMMENT, b"icount=%d" % icount),
        (PACKET_FLAGS, (INBOUND if inbound else OUTBOUND).to_bytes(4, "little")),
    )
    time = icount if time_ns is None else time_ns
    fields = _PACKET.pack(interface, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
    return _block(ENHANCED_PACKET, fields + _padded(frame) + options)


def _interface(name: str, times: str) -> bytes:
    options = _options(
        (INTERFACE_NAME, name.encode()),
        (INTERFACE_DESCRIPTION_TEXT, times.encode()),
        (TIME_RESOLUTION, NANOSECONDS),
    )
    return _block(INTERFACE_DESCRIPTION, _INTERFACE.pack(ETHERNET, 0, NO_LIMIT) + options)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    """A list of options with its end (section 3.5)."""
    return b"".join(_OPTION.pack(code, len(value)) + _padded(value) for code, value in options) + bytes(4)


def _block(kind: int, body: bytes) -> bytes:
    """A block, its length before and behind it (section 3.1)."""
    length = _HEAD.size + len(body) + _TAIL.size
    return _HEAD.pack(kind, length) + body + _TAIL.pack(length)
