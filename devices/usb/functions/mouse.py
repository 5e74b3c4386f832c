"""A mouse with five buttons and a wheel (HID 1.11, appendices B.2, E.10; the wheel is not in the boot protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.usb.functions.hid import Hid, boot_descriptors
from machine import input_events as e

if TYPE_CHECKING:
    from devices.usb.functions.base import Wire
    from devices.usb.functions.state import MouseState
    from machine.input_events import Event

FARTHEST: Final = 127
"""The most that one report moves."""
QUEUE_MOVES: Final = 128
"""Kept for a host that does not fetch; then movements are added up."""
BOOT_BYTES: Final = 3
FIRST_BUTTON: Final = e.BTN_LEFT
BUTTONS: Final = 5
MOST_AT_ONCE: Final = 1 << 13
"""Movements are cut to this, so that one event is not thousands of reports."""

REPORT: Final = bytes.fromhex(
    "05010902a1010901a100"  # Generic Desktop, Mouse, Application; Pointer, Physical
    "0509190129051500250195057501 8102"  # five buttons
    "950175038101"
    "05010930093109381581257f75089503 8106"  # X, Y, wheel
    "c0c0"
)
DESCRIPTORS: Final = boot_descriptors(2, "USB Mouse", REPORT, protocol=2)


class Mouse(Hid):
    """What happens up to a SYN_REPORT is one report, or several if it is far."""

    descriptors = DESCRIPTORS

    def __init__(self, state: MouseState, wire: Wire) -> None:
        super().__init__(state, wire)
        self._state = state

    def report(self) -> bytes:
        """The buttons as they are, nothing moved."""
        return self._cut(bytes((self._state.buttons, 0, 0, 0)))

    def next_report(self) -> bytes:
        """As much of the oldest movement as one report holds."""
        if not self._state.queue:
            return b""
        buttons, *moves = self._state.queue[0]
        return self._cut(bytes((buttons, *(_step(move) & 0xFF for move in moves))))

    def report_taken(self) -> None:
        """What is left of the movement is the next report."""
        buttons, *moves = self._state.queue[0]
        dx, dy, wheel = (move - _step(move) for move in moves)
        if self._state.boot_protocol:
            wheel = 0
        left = ((buttons, dx, dy, wheel),) if dx or dy or wheel else ()
        self._state.queue = (*left, *self._state.queue[1:])

    def forget_reports(self) -> None:
        """Buttons that are down now are new to the host."""
        buttons = self._state.buttons
        self._state.queue = ((buttons, 0, 0, 0),) if buttons and self.device.configuration else ()

    def event(self, event: Event) -> None:
        """A movement, a button, the end of a group."""
        s = self._state
        _, code, value = event
        match event.type, code:
            case e.EV_REL, e.REL_X:
                s.dx += value
            case e.EV_REL, e.REL_Y:
                s.dy += value
            case e.EV_REL, e.REL_WHEEL:
                s.wheel += value
            case e.EV_KEY, _ if FIRST_BUTTON <= code < FIRST_BUTTON + BUTTONS:
                bit = 1 << code - FIRST_BUTTON
                buttons = s.buttons | bit if value else s.buttons & ~bit
                s.changed, s.buttons = s.changed or buttons != s.buttons, buttons
            case e.EV_SYN, e.SYN_REPORT:
                self._end_group()
            case _:
                pass

    def repeat_report(self) -> None:
        """The buttons as they are."""
        self._state.queue = ((self._state.buttons, 0, 0, 0),)

    def _end_group(self) -> None:
        s = self._state
        moved = (s.dx, s.dy, s.wheel)
        if self.device.configuration and (s.changed or any(moved)):
            if len(s.queue) == QUEUE_MOVES:
                _, *last = s.queue[-1]
                moved = (moved[0] + last[0], moved[1] + last[1], moved[2] + last[2])
            dx, dy, wheel = (_clamp(move, MOST_AT_ONCE) for move in moved)
            s.queue = (*s.queue[: QUEUE_MOVES - 1], (s.buttons, dx, dy, wheel))
        s.dx = s.dy = s.wheel = 0
        s.changed = False

    def _cut(self, report: bytes) -> bytes:
        return report[:BOOT_BYTES] if self._state.boot_protocol else report


def _step(move: int) -> int:
    return _clamp(move, FARTHEST)


def _clamp(move: int, most: int) -> int:
    return max(-most, min(most, move))
