"""A boot keyboard (HID 1.11, appendices B.1, E.6): eight-byte reports, five LEDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.usb.functions.base import ACK, Outcome
from devices.usb.functions.hid import Hid, boot_descriptors
from devices.usb.functions.usages import FIRST_MODIFIER, USAGES
from machine.input_events import EV_KEY, ROW_BYTES

if TYPE_CHECKING:
    from devices.usb.functions.base import Wire
    from devices.usb.functions.state import KeyboardState
    from machine.input_events import Event

KEYS_IN_REPORT: Final = 6
ROLL_OVER: Final = 1
"""The usage that says that more keys are down than the report holds."""
LED_MASK: Final = 0x1F
REPORT_BYTES: Final = 2 + KEYS_IN_REPORT
QUEUE_BYTES: Final = 2048 * REPORT_BYTES
"""Kept for a host that does not fetch; then the last one is brought up to date."""
ROOM_REPORTS: Final = 64
"""While the host fetches, the backend is read no further than this is ahead of it."""
ROOM: Final = 1 << 16
EVENT_BYTES: Final = 2 * ROW_BYTES
"""A key and the end of its group."""
RELEASED: Final = 0
PRESSED: Final = 1

REPORT: Final = bytes.fromhex(
    "05010906a101"  # Generic Desktop, Keyboard, Application
    "050719e029e71500250175019508 8102"  # eight modifiers
    "950175088101"  # a reserved byte
    "95057501050819012905 9102"  # five LEDs
    "950175039101"
    "95067508150026ff00050719002aff00 8100"  # six keys
    "c0"
)
DESCRIPTORS: Final = boot_descriptors(1, "USB Keyboard", REPORT, protocol=1)


class Keyboard(Hid):
    """Each key that goes down or up is a report of its own."""

    descriptors = DESCRIPTORS

    def __init__(self, state: KeyboardState, wire: Wire) -> None:
        super().__init__(state, wire)
        self._state = state

    def report(self) -> bytes:
        """Modifiers, a reserved byte, the keys that are down."""
        modifiers = sum(1 << usage - FIRST_MODIFIER for usage in self._state.pressed if usage >= FIRST_MODIFIER)
        keys = [usage for usage in self._state.pressed if usage < FIRST_MODIFIER]
        if len(keys) > KEYS_IN_REPORT:
            keys = [ROLL_OVER] * KEYS_IN_REPORT
        return bytes((modifiers, 0, *keys)).ljust(REPORT_BYTES, b"\0")

    def next_report(self) -> bytes:
        """The oldest."""
        return self._state.queue[:REPORT_BYTES]

    def report_taken(self) -> None:
        """The next one is due."""
        self._state.queue = self._state.queue[REPORT_BYTES:]

    def forget_reports(self) -> None:
        """What is down now is new to the host, and nothing before it counts."""
        self._state.queue = self.report() if self._state.pressed and self.device.configuration else b""

    def polled(self, now: bool) -> None:
        """Remember: see room_of()."""
        self._state.polled = now

    def output_report(self, data: bytes) -> Outcome:
        """The LEDs; the backend is told."""
        self._state.leds = data[0] & LED_MASK if data else 0
        self.wire.send(bytes((self.wire.port, self._state.leds)))
        return ACK

    def event(self, event: Event) -> None:
        """A key goes down or up; the guest makes its own repetitions."""
        usage = USAGES.get(event.code, 0) if event.type == EV_KEY else 0
        value = event.value
        if not usage or value not in (RELEASED, PRESSED) or (value == PRESSED) == (usage in self._state.pressed):
            return
        others = tuple(u for u in self._state.pressed if u != usage)
        self._state.pressed = (*others, usage) if value == PRESSED else others
        if self.device.configuration:
            self._state.queue = self._state.queue[: QUEUE_BYTES - REPORT_BYTES] + self.report()

    def repeat_report(self) -> None:
        """What is down now."""
        self._state.queue = self.report()


def keyboard_room(state: KeyboardState) -> int:
    """Bytes of events a keyboard can take.  One that nobody fetches reports of takes all, and keeps the last state."""
    if not state.polled:
        return ROOM
    return max(0, ROOM_REPORTS - len(state.queue) // REPORT_BYTES) * EVENT_BYTES
