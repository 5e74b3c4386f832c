"""A keyboard, mouse or tablet of the host's: /dev/input/eventN, as QEMU's input-linux takes it.

While it is grabbed its events go to the guest alone; both Ctrl keys together give it back to the host and
take it again.  Keys that are down when the host keeps its events from us are let go for the guest.
"""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from devices.backends.base import BackendBase
from devices.backends.input.kernel import EvdevFile
from machine.errors import BackendError, reason_of
from machine.input_events import (
    ABS_MAX,
    EV_ABS,
    EV_KEY,
    EV_LED,
    EV_REL,
    EV_SYN,
    SYN,
    SYN_DROPPED,
    SYN_REPORT,
    Event,
    pack_group,
    unpack_events,
)
from machine.keycodes import KEY_LEFTCTRL, KEY_RIGHTCTRL
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.model import Submit

log = logging.getLogger("dejavm")

BOTH_CTRL: Final = frozenset((KEY_LEFTCTRL, KEY_RIGHTCTRL))
REPEATED: Final = 2
"""The value of a key that the host's kernel repeats; the guest's kernel repeats by itself."""
TAKEN: Final = (EV_KEY, EV_REL, EV_ABS)
REASONS: Final[Mapping[int, str]] = {
    errno.ENOTTY: "it is no event device; write /dev/input/eventN",
    errno.EINVAL: "it is no event device; write /dev/input/eventN",
    errno.EBUSY: "somebody else has grabbed it",
    errno.EACCES: "permission denied; on Debian the group input may read it",
}
"""What an errno means here."""
MOST_EVENTS: Final = 256
"""A group is cut there; no device makes such."""


class EvdevBackend(BackendBase):
    """One event device: what it has said since the last SYN_REPORT, and the groups the guest has no room for."""

    def __init__(
        self, path: str, name: str, *, grab: bool = True, open_device: Callable[[str], EvdevFile] = EvdevFile
    ) -> None:
        super().__init__(name)
        self._path = path
        self._grab = grab
        self._open_device = open_device
        self._device: EvdevFile | None = None
        self._active = True
        """The events are the guest's."""
        self._lost = False
        """The kernel has dropped events; nothing counts up to the next SYN_REPORT."""
        self._group: list[Event] = []
        self._groups: deque[bytes] = deque()
        self._told: set[int] = set()
        """Keys that the guest believes to be down."""
        self._down: set[int] = set()
        """Keys that are down."""
        self._ranges: dict[int, tuple[int, int]] = {}

    def open(self, submit: Submit) -> None:
        """Open the device and take it for the guest alone; BackendError says why not."""
        super().open(submit)
        try:
            self._device = self._open_device(self._path)
            if self._grab:
                self._device.grab(True)
        except (OSError, ValueError) as error:
            self.close()
            raise BackendError(f"{self._name}: cannot take events of {self._path}: {_reason(error)}") from error

    def close(self) -> None:
        """Give the device back to the host."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The device, unless the guest has not taken what it said last: the kernel holds the rest for us."""
        if self._device is None or room <= 0 or (self._groups and len(self._groups[0]) > room):
            return ()
        return [(self._device.descriptor, True, False)]

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Read events; submit whole groups, as far as there is room."""
        if self._device is not None and readable:
            try:
                for event in self._device.read():
                    self._take(event)
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose_device(error)
        self.advance(room)

    def advance(self, room: int) -> None:
        """Submit the groups that there is room for now."""
        while self._groups and len(self._groups[0]) <= room:
            data = self._groups.popleft()
            room -= len(data)
            self._submit(HostEvent.DATA, data, 0)

    def write(self, data: bytes) -> BackendResult:
        """Show the guest's LEDs on the device, if it has any."""
        leds = [event for event in unpack_events(data) if event.type == EV_LED]
        if leds and self._device is not None and self._active:
            try:
                self._device.write([*leds, SYN])
            except OSError as error:
                log.info("%s: %s shows no LEDs: %s", self._name, self._path, error)
        return BackendResult(len(data))

    def _take(self, event: Event) -> None:
        """One event of the device's."""
        if event.type == EV_SYN:
            if event.code == SYN_DROPPED:
                self._lost = True
                self._group.clear()
            elif event.code == SYN_REPORT:
                self._end_group()
        elif event.type in TAKEN and not self._lost and len(self._group) < MOST_EVENTS:
            self._group.append(event)

    def _end_group(self) -> None:
        group, self._group = self._group, []
        if self._lost:
            self._lost = False
            self._resynchronise()
            return
        told = []
        for event in group:
            if event.type == EV_KEY:
                if event.value == REPEATED:
                    continue
                self._note_key(event)
            if self._active:
                told.append(self._scaled(event))
        self._tell(told)
        if self._grab and self._down >= BOTH_CTRL and any(event.code in BOTH_CTRL for event in group):
            self._toggle()

    def _note_key(self, event: Event) -> None:
        (self._down.add if event.value else self._down.discard)(event.code)

    def _tell(self, events: list[Event]) -> None:
        """Queue a group for the guest."""
        for event in events:
            if event.type == EV_KEY:
                (self._told.add if event.value else self._told.discard)(event.code)
        if events:
            self._groups.append(pack_group(events))

    def _toggle(self) -> None:
        """Both Ctrl keys: the events are the host's, or the guest's again."""
        assert self._device is not None
        self._active = not self._active
        try:
            self._device.grab(self._active)
        except OSError as error:
            log.warning("%s: cannot take %s: %s", self._name, self._path, error)
        if not self._active:
            self._let_go()

    def _let_go(self) -> None:
        self._tell([Event(EV_KEY, code, 0) for code in sorted(self._told)])

    def _resynchronise(self) -> None:
        """The kernel had no room for more events (Linux, Documentation/input/event-codes.rst, SYN_DROPPED): ask it."""
        assert self._device is not None
        try:
            self._down = set(self._device.held_keys())
        except OSError:
            self._down = set()
        if self._active:
            released = [Event(EV_KEY, code, 0) for code in sorted(self._told - self._down)]
            pressed = [Event(EV_KEY, code, 1) for code in sorted(self._down - self._told)]
            self._tell(released + pressed)

    def _scaled(self, event: Event) -> Event:
        """A position on the device as one on the guest's tablet, 0 to ABS_MAX."""
        if event.type != EV_ABS:
            return event
        assert self._device is not None
        if event.code not in self._ranges:
            try:
                self._ranges[event.code] = self._device.axis_range(event.code)
            except OSError:
                self._ranges[event.code] = (0, ABS_MAX)
        lowest, highest = self._ranges[event.code]
        place = min(max(event.value, lowest), highest) - lowest
        return event._replace(value=place * ABS_MAX // max(1, highest - lowest))

    def _lose_device(self, error: OSError) -> None:
        log.warning("%s: %s is gone: %s", self._name, self._path, error.strerror or error)
        self.close()
        self._group.clear()
        self._down.clear()
        self._let_go()


def _reason(error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return REASONS.get(number or 0, reason_of(error))
