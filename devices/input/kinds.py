"""What a keyboard, a mouse and a tablet say they can do: tables for the configuration space.

Codes are Linux's (include/uapi/linux/input.h, input-event-codes.h).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from devices.input import registers as r
from machine import input_events as e
from machine.keycodes import QCODES

BUS_VIRTUAL: Final = 0x06
VENDOR: Final = 0x1AF4
"""The one that virtio's own devices have on other buses."""
VERSION: Final = 1
EV_REP: Final = 0x14
SENT: Final = (e.EV_KEY, e.EV_REL, e.EV_ABS)
"""Types of events that go from the device to the guest."""
LEDS: Final = (0, 1, 2)
"""Num lock, caps lock, scroll lock."""
KEYS: Final = tuple(sorted({*range(1, 0x71), *QCODES.values()} - {0}))
"""The PC's keys and all that have a name.  Not all that Linux knows: it lists those from 0x71 on in the device's
modalias, and busybox's modprobe, which finds evdev by that, takes 255 bytes."""
POINTER_BUTTONS: Final = (e.BTN_LEFT, e.BTN_RIGHT, e.BTN_MIDDLE, e.BTN_SIDE, e.BTN_EXTRA)


@dataclass(frozen=True, slots=True)
class InputKind:
    """One type of device."""

    name: str
    product: int
    codes: Mapping[int, frozenset[int]]
    """Event type -> the codes it may have; a type without codes is one the driver does by itself (EV_REP)."""
    answers: Mapping[tuple[int, int], bytes]
    """(select, subsel) -> what the configuration space holds."""

    def declares(self, event: e.Event) -> bool:
        """Whether the device may send an event; what the guest sends (LEDs) would come back to it."""
        return event.type in SENT and event.code in self.codes.get(event.type, ())


def _bits(codes: Iterable[int]) -> bytes:
    """A bitmap as long as it must be; for no codes one byte, which says that the type is there."""
    bitmap = bytearray(max(codes, default=0) // 8 + 1)
    for code in codes:
        bitmap[code // 8] |= 1 << code % 8
    return bytes(bitmap)


def _kind(word: str, name: str, product: int, codes: Mapping[int, Iterable[int]]) -> InputKind:
    answers = {
        (r.SELECT_ID_NAME, 0): name.encode(),
        (r.SELECT_ID_SERIAL, 0): f"dejavm-{word}".encode(),
        (r.SELECT_ID_DEVIDS, 0): r.DEVIDS.pack(BUS_VIRTUAL, VENDOR, product, VERSION),
    }
    answers |= {(r.SELECT_EV_BITS, kind): _bits(tuple(listed)) for kind, listed in codes.items()}
    for axis in codes.get(e.EV_ABS, ()):
        answers[r.SELECT_ABS_INFO, axis] = r.ABS_INFO.pack(0, e.ABS_MAX, 0, 0, 0)
    return InputKind(name, product, {kind: frozenset(listed) for kind, listed in codes.items()}, answers)


KINDS: Final[Mapping[str, InputKind]] = {
    "kbd": _kind("kbd", "dejavm keyboard", 1, {e.EV_KEY: KEYS, e.EV_LED: LEDS, EV_REP: ()}),
    "mouse": _kind(
        "mouse", "dejavm mouse", 2, {e.EV_KEY: POINTER_BUTTONS, e.EV_REL: (e.REL_X, e.REL_Y, e.REL_HWHEEL, e.REL_WHEEL)}
    ),
    "tablet": _kind(
        "tablet",
        "dejavm tablet",
        3,
        {e.EV_KEY: (*POINTER_BUTTONS, e.BTN_TOUCH), e.EV_REL: (e.REL_WHEEL,), e.EV_ABS: (e.ABS_X, e.ABS_Y)},
    ),
}
"""The option `type` -> what it is."""
