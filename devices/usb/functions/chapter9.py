"""Requests, features and descriptor types of chapter 9 (USB 2.0, USB 3.2) as numbers, and the request itself."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

IN: Final = 0x80
"""In an endpoint's address: device to host."""

# bmRequestType.
KIND_MASK: Final = 0x60
STANDARD: Final = 0x00
CLASS: Final = 0x20
RECIPIENT_MASK: Final = 0x1F
DEVICE: Final = 0
INTERFACE: Final = 1
ENDPOINT: Final = 2

# bRequest (USB 3.2, table 9-5).
GET_STATUS: Final = 0
CLEAR_FEATURE: Final = 1
SET_FEATURE: Final = 3
SET_ADDRESS: Final = 5
GET_DESCRIPTOR: Final = 6
GET_CONFIGURATION: Final = 8
SET_CONFIGURATION: Final = 9
GET_INTERFACE: Final = 10
SET_INTERFACE: Final = 11
SET_SEL: Final = 48
SET_ISOCH_DELAY: Final = 49

ENDPOINT_HALT: Final = 0
REMOTE_WAKEUP: Final = 1
U1_ENABLE: Final = 48
U2_ENABLE: Final = 49
FUNCTION_SUSPEND: Final = 0

# Descriptor types (USB 3.2, table 9-6).
DEVICE_DESCRIPTOR: Final = 1
CONFIGURATION_DESCRIPTOR: Final = 2
STRING_DESCRIPTOR: Final = 3
INTERFACE_DESCRIPTOR: Final = 4
ENDPOINT_DESCRIPTOR: Final = 5
QUALIFIER_DESCRIPTOR: Final = 6
OTHER_SPEED_DESCRIPTOR: Final = 7
BOS_DESCRIPTOR: Final = 15
CAPABILITY_DESCRIPTOR: Final = 16
COMPANION_DESCRIPTOR: Final = 48

_SETUP: Final = struct.Struct("<BBHHH")


@dataclass(frozen=True, slots=True)
class Setup:
    """The eight bytes of a control request (USB 2.0, 9.3)."""

    kind: int
    request: int
    value: int
    index: int
    length: int

    @classmethod
    def parse(cls, data: bytes) -> Setup:
        """From the bytes."""
        return cls(*_SETUP.unpack(data))

    def pack(self) -> bytes:
        """The bytes."""
        return _SETUP.pack(self.kind, self.request, self.value, self.index, self.length)

    @property
    def inbound(self) -> bool:
        """The data stage, if there is one, is device to host."""
        return bool(self.kind & IN)

    @property
    def recipient(self) -> int:
        """DEVICE, INTERFACE or ENDPOINT."""
        return self.kind & RECIPIENT_MASK
