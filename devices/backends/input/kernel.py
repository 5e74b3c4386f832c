"""What Linux's evdev answers to ioctl: include/uapi/linux/input.h.

Lives here: numbers and structures of the kernel's.  Never here: what becomes of an event.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

from machine.input_events import Event

INPUT_EVENT: Final = struct.Struct("@llHHi")
"""struct input_event: seconds, microseconds, type, code, value."""
READ_EVENTS: Final = 64
KEY_COUNT: Final = 0x300
_READ: Final = 2
_WRITE: Final = 1
_ABSINFO: Final = struct.Struct("@6i")
"""struct input_absinfo: value, minimum, maximum, fuzz, flat, resolution."""


def _ioc(direction: int, number: int, size: int) -> int:
    """The number of an ioctl of group 'E' (include/uapi/asm-generic/ioctl.h)."""
    return direction << 30 | size << 16 | ord("E") << 8 | number


EVIOCGVERSION: Final = _ioc(_READ, 0x01, 4)
EVIOCGRAB: Final = _ioc(_WRITE, 0x90, 4)
EVIOCGKEY: Final = _ioc(_READ, 0x18, KEY_COUNT // 8)


def eviocgabs(axis: int) -> int:
    """The ioctl that tells an axis's range."""
    return _ioc(_READ, 0x40 + axis, _ABSINFO.size)


class EvdevFile:
    """An open /dev/input/eventN, never waited for."""

    def __init__(self, path: str) -> None:
        """Open it, to write too where the host lets us; OSError if it cannot be had or is no event device."""
        flags = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self.descriptor = os.open(path, os.O_RDWR | flags)
        except PermissionError:
            self.descriptor = os.open(path, os.O_RDONLY | flags)
        try:
            fcntl.ioctl(self.descriptor, EVIOCGVERSION, bytes(4))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close it; a grab goes with it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def read(self) -> list[Event]:
        """The events that have come; BlockingIOError if none have, OSError if the device has gone."""
        data = os.read(self.descriptor, READ_EVENTS * INPUT_EVENT.size)
        if not data:
            raise OSError("it has come to an end")
        whole = len(data) - len(data) % INPUT_EVENT.size
        return [Event(*row[2:]) for row in INPUT_EVENT.iter_unpack(data[:whole])]

    def write(self, events: list[Event]) -> None:
        """Set LEDs; OSError if the device takes none."""
        os.write(self.descriptor, b"".join(INPUT_EVENT.pack(0, 0, *event) for event in events))

    def grab(self, on: bool) -> None:
        """Have its events alone, or share them again; OSError if somebody else has it."""
        fcntl.ioctl(self.descriptor, EVIOCGRAB, int(on))

    def held_keys(self) -> frozenset[int]:
        """The keys and buttons that are down; OSError."""
        bits = fcntl.ioctl(self.descriptor, EVIOCGKEY, bytes(KEY_COUNT // 8))
        return frozenset(code for code in range(KEY_COUNT) if bits[code // 8] >> code % 8 & 1)

    def axis_range(self, axis: int) -> tuple[int, int]:
        """An absolute axis's smallest and largest value; OSError if it has none."""
        _, lowest, highest, *_ = _ABSINFO.unpack(fcntl.ioctl(self.descriptor, eviocgabs(axis), bytes(_ABSINFO.size)))
        return lowest, highest
