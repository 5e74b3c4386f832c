"""The bytes of descriptors (USB 2.0, 9.6; USB 3.2, 9.6) from their fields."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from devices.usb.functions import chapter9 as u

if TYPE_CHECKING:
    from collections.abc import Sequence

VENDOR: Final = 0x1209
"""pid.codes, whose first product numbers are for private use."""
MANUFACTURER: Final = "dejavm"
SERIAL_STRING: Final = 3
BULK: Final = 2
INTERRUPT: Final = 3
BUS_POWERED: Final = 0x80
WAKES: Final = 0x20


def device(product: int, *, version: int = 0x0200, device_class: int = 0, packet: int = 64, protocol: int = 0) -> bytes:
    """A device descriptor; `packet` is bMaxPacketSize0 as it is written there."""
    kind = (device_class, 0, protocol, packet)
    ids = (VENDOR, product, 0x0100)
    return struct.pack("<BBHBBBBHHHBBBB", 18, u.DEVICE_DESCRIPTOR, version, *kind, *ids, 1, 2, SERIAL_STRING, 1)


def qualifier(device_class: int) -> bytes:
    """What a high-speed device would be at full speed."""
    return struct.pack("<BBHBBBBBB", 10, u.QUALIFIER_DESCRIPTOR, 0x0200, device_class, 0, 0, 64, 1, 0)


def configuration(parts: Sequence[bytes], *, interfaces: int = 1, attributes: int = 0, power: int = 50) -> bytes:
    """A configuration descriptor with everything that belongs to it; `power` in the units of the bus."""
    body = b"".join(parts)
    kind = u.CONFIGURATION_DESCRIPTOR
    return struct.pack("<BBHBBBBB", 9, kind, 9 + len(body), interfaces, 1, 0, BUS_POWERED | attributes, power) + body


def interface(number: int, endpoints: int, kind: tuple[int, int, int]) -> bytes:
    """An interface descriptor; `kind` is class, subclass, protocol."""
    return bytes((9, u.INTERFACE_DESCRIPTOR, number, 0, endpoints, *kind, 0))


def endpoint(address: int, kind: int, packet: int, interval: int = 0) -> bytes:
    """An endpoint descriptor; `interval` as bInterval."""
    return struct.pack("<BBBBHB", 7, u.ENDPOINT_DESCRIPTOR, address, kind, packet, interval)


def companion(burst: int = 0) -> bytes:
    """A SuperSpeed endpoint companion descriptor."""
    return bytes((6, u.COMPANION_DESCRIPTOR, burst, 0, 0, 0))


def capabilities() -> bytes:
    """The BOS descriptor of a SuperSpeed device: USB 2.0 extension and SuperSpeed, no link power management."""
    extension = struct.pack("<BBBI", 7, u.CAPABILITY_DESCRIPTOR, 2, 0)
    # Full, high and SuperSpeed; all there is works from full speed on; exit latencies of 0.
    speed = struct.pack("<BBBBHBBH", 10, u.CAPABILITY_DESCRIPTOR, 3, 0, 0x000E, 1, 0, 0)
    body = extension + speed
    return struct.pack("<BBHB", 5, u.BOS_DESCRIPTOR, 5 + len(body), 2) + body
