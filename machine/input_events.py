"""Input events as Linux's evdev has them: rows of `struct virtio_input_event`, and the codes that are used by name.

Codes: include/uapi/linux/input-event-codes.h of Linux.  Rows: VIRTIO 1.2, 5.8.6.2: le16 type, le16 code, le32 value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

EV_SYN: Final = 0x00
EV_KEY: Final = 0x01
EV_REL: Final = 0x02
EV_ABS: Final = 0x03
EV_LED: Final = 0x11

SYN_REPORT: Final = 0
SYN_DROPPED: Final = 3

REL_X: Final = 0x00
REL_Y: Final = 0x01
REL_HWHEEL: Final = 0x06
REL_WHEEL: Final = 0x08

ABS_X: Final = 0x00
ABS_Y: Final = 0x01
ABS_MAX: Final = 0x7FFF
"""The far edge of a tablet; the near one is 0."""

BTN_LEFT: Final = 0x110
BTN_RIGHT: Final = 0x111
BTN_MIDDLE: Final = 0x112
BTN_SIDE: Final = 0x113
BTN_EXTRA: Final = 0x114
BTN_TOUCH: Final = 0x14A

BUTTONS: Final = {
    "left": BTN_LEFT,
    "middle": BTN_MIDDLE,
    "right": BTN_RIGHT,
    "side": BTN_SIDE,
    "extra": BTN_EXTRA,
    "touch": BTN_TOUCH,
}
"""Buttons of a pointer by QEMU's names."""

ROW: Final = struct.Struct("<HHi")
ROW_BYTES: Final = ROW.size
CODE_MAX: Final = 0xFFFF
VALUE_MAX: Final = (1 << 31) - 1


class Event(NamedTuple):
    """One event: a key or button (1 down, 0 up), a relative or absolute axis, or the end of a group."""

    type: int
    code: int
    value: int


SYN: Final = Event(EV_SYN, SYN_REPORT, 0)
"""Ends a group: what has happened at once."""


def pack_events(events: Iterable[Event]) -> bytes:
    """Rows of events, without anything added; struct.error if one does not fit."""
    return b"".join(ROW.pack(*event) for event in events)


def pack_group(events: Iterable[Event]) -> bytes:
    """Rows of one group, its SYN_REPORT added."""
    return pack_events((*events, SYN))


def unpack_events(data: bytes) -> list[Event]:
    """The events in rows; what is behind the last whole row is left out."""
    whole = len(data) - len(data) % ROW_BYTES
    return [Event(*row) for row in ROW.iter_unpack(data[:whole])]
