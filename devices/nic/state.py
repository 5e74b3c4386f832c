"""Everything the network card remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from devices.virtio.state import TransportState
from machine.bounds import Count, Long
from machine.vmstate import vmstate

DEFAULT_MAC: Final = bytes.fromhex("525400123456")
"""QEMU's first card."""
RECEIVE_ROOM: Final = 1 << 17
"""The backend is read as long as less than this is held."""
RECEIVE_LIMIT: Final = 1 << 18
"""What a backend says unasked is held up to here."""


@vmstate("virtio-net", 1)
@dataclass(slots=True)
class NicState:
    """The card's address, its cable, and frames on their way."""

    transport: TransportState = field(default_factory=TransportState)
    mac: Annotated[bytes, Long(6, 6)] = DEFAULT_MAC
    link: bool = True
    """The other end of the cable is there."""
    received: tuple[bytes, ...] = ()
    """Frames the guest had no buffers for, the oldest first."""
    received_bytes: Count = 0
    """Bytes of them, as messages have them."""
    transmit: bytes = b""
    """Frames the backend has not taken, as in a message; at most one message."""
    blocked: bool = False
    """The backend took less than it was given; it says when it takes more."""
    dropped_received: Count = 0
    """Frames that were too short, too long, or too many, or came while nobody could have them."""
    dropped_transmit: Count = 0
    """Frames that were too short or too long, or that nobody took."""
