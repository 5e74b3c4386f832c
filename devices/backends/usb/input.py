"""`kbd`, `mouse`: what is typed comes from the monitor, and from a script or a device of the host if one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends import create_backend
from devices.backends.usb.port import Port, PortLink
from devices.backends.words import join_commas, parse_options
from devices.usb.messages import Kind, What
from machine.errors import BackendError
from machine.input_events import EV_LED, Event, pack_group
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend

EVDEV: Final = "evdev"
SOURCES: Final = ("script", EVDEV)
GRAB: Final = "grab"
LEDS: Final = 5
"""Num lock, caps lock, scroll lock, compose, kana: the bits of a boot keyboard's LED report (HID 1.11, appendix B.1)
and the codes LED_NUML to LED_KANA of Linux have the same order."""


class InputPort(Port):
    """A keyboard or a mouse in a port, and the source of its events."""

    def __init__(self, kind: Kind, source: Backend) -> None:
        self._kind = kind
        self._source = source

    def open(self, link: PortLink) -> None:
        """Plug it in; BackendError if its source cannot be had."""
        self._link = link
        link.plug(self._kind)
        self._source.open(self._heard)

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The source's."""
        return self._source.descriptors(room)

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Have the source serve it."""
        self._source.ready(descriptor, readable, writable, room)

    def advance(self, room: int) -> None:
        """Let the source go on."""
        self._source.advance(room)

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """What the source has said has arrived."""
        self._source.passed(data, icount, inbound=inbound)

    def wants_quit(self) -> bool:
        """Whether the source does."""
        return self._source.wants_quit()

    def write(self, message: bytes) -> BackendResult:
        """The lights of a keyboard: for the source they are events."""
        self.listen(message)
        return BackendResult(len(message))

    def listen(self, message: bytes) -> bool:
        """The lights, recorded ones too."""
        if len(message) > 1:
            self._source.write(pack_group(Event(EV_LED, code, message[1] >> code & 1) for code in range(LEDS)))
        return True

    def _heard(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        """Events; a source that comes or goes is no keyboard that comes or goes."""
        if event is HostEvent.DATA:
            self._link.data(What.DATA, data, delay_ns)


def create_keyboard(argument: str, where: str) -> Port:
    """`kbd[,script=FILE|,evdev=DEVICE]`."""
    return InputPort(Kind.KEYBOARD, _source(argument, where))


def create_mouse(argument: str, where: str) -> Port:
    """`mouse[,script=FILE|,evdev=DEVICE]`."""
    return InputPort(Kind.MOUSE, _source(argument, where))


def _source(argument: str, where: str) -> Backend:
    """The input backend that is named; `grab` is evdev's and is handed on."""
    options = parse_options(argument, (*SOURCES, GRAB), where)
    sources = [source for source in SOURCES if source in options]
    if len(sources) > 1 or (GRAB in options and sources != [EVDEV]):
        raise BackendError(f"{where}: write script=FILE, or evdev=DEVICE with or without grab=off, not {argument!r}")
    if not sources:
        return create_backend("input", "", where)
    grab = [f"{GRAB}={options[GRAB]}"] if GRAB in options else []
    return create_backend("input", join_commas((sources[0], f"path={options[sources[0]]}", *grab)), where)
