"""What a device from outside says of itself: its descriptors, believed only as far as they are well formed.

Specification: USB 2.0 and USB 3.2, chapter 9.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.usb.messages import HostSpeed

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE: Final = 1
CONFIGURATION: Final = 2
ENDPOINT: Final = 5

HEAD_BYTES: Final = 2
"""bLength and bDescriptorType."""
DEVICE_BYTES: Final = 18
CONFIGURATION_BYTES: Final = 9
ENDPOINT_BYTES: Final = 7
MOST_CONFIGURATIONS: Final = 8
"""What Linux looks at of a device (drivers/usb/core/config.c)."""
MOST_BYTES: Final = 0xFFFF
"""All configurations together."""

TYPE_MASK: Final = 0x03
ISOCHRONOUS: Final = 1
INTERRUPT: Final = 3
LONGEST_EXPONENT: Final = 16


class Implausible(ValueError):
    """A descriptor that is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: its transfer type (bmAttributes, bits 1:0) and its interval in the bus's frames or microframes."""

    type: int
    interval: int


def count_configurations(device: bytes) -> int:
    """How many configurations a device descriptor tells of; Implausible."""
    if len(device) != DEVICE_BYTES or device[0] != DEVICE_BYTES or device[1] != DEVICE:
        raise Implausible(f"a device descriptor of {len(device)} bytes that begins {device[:2].hex() or 'nowhere'}")
    if not 1 <= device[17] <= MOST_CONFIGURATIONS:
        raise Implausible(f"{device[17]} configurations")
    return device[17]


def total_length(head: bytes) -> int:
    """The whole length of a configuration of which the first descriptor is given; Implausible."""
    if len(head) < CONFIGURATION_BYTES or head[0] < CONFIGURATION_BYTES or head[1] != CONFIGURATION:
        raise Implausible(f"a configuration descriptor of {len(head)} bytes that begins {head[:2].hex() or 'nowhere'}")
    total = int.from_bytes(head[2:4], "little")
    if total < head[0]:
        raise Implausible(f"a configuration of {total} bytes")
    return total


def endpoints(configurations: bytes, speed: int) -> dict[tuple[int, bool], Endpoint]:
    """(number, inbound) -> endpoint, of all settings of all configurations; the first of equal ones."""
    found: dict[tuple[int, bool], Endpoint] = {}
    for descriptor in split(configurations):
        if descriptor[1] == ENDPOINT and len(descriptor) >= ENDPOINT_BYTES:
            address, attributes, interval = descriptor[2], descriptor[3], descriptor[6]
            key = (address & 0xF, bool(address & 0x80))
            found.setdefault(key, Endpoint(attributes & TYPE_MASK, _frames(interval, speed)))
    return found


def split(data: bytes) -> Iterator[bytes]:
    """Descriptors one after the other, up to the first whose length is wrong."""
    at = 0
    while at + HEAD_BYTES <= len(data) and HEAD_BYTES <= data[at] <= len(data) - at:
        yield data[at : at + data[at]]
        at += data[at]


def _frames(interval: int, speed: int) -> int:
    """bInterval as Linux counts it (USB 2.0, table 9-13): a power of two microframes, or frames."""
    if speed in (HostSpeed.LOW, HostSpeed.FULL):
        return max(1, interval)
    return 1 << (min(max(1, interval), LONGEST_EXPONENT) - 1)
