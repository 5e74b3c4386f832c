"""What can be plugged into a USB port, by first word, and the word of a whole controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends.usb.input import create_keyboard, create_mouse
from devices.backends.usb.multiplexer import UsbBackend
from devices.backends.usb.serial import create_serial
from devices.backends.usb.storage import create_storage
from devices.backends.usb.usbip import create_usbip
from devices.usb.messages import PORTS
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from devices.backends.usb.port import Port

NONE: Final = "none"

FACTORIES: Final[Mapping[str, Callable[[str, str], Port]]] = {
    "kbd": create_keyboard,
    "mouse": create_mouse,
    "storage": create_storage,
    "serial": create_serial,
    "usbip": create_usbip,
}
"""First word -> factory(what follows the comma, controller and port for messages)."""

SYNTAX: Final = (
    "none, kbd[,script=FILE|,evdev=DEVICE[,grab=off]], mouse[,script=FILE|,evdev=DEVICE[,grab=off]], "
    "storage,file=PATH[,readonly=on][,logical_block_size=N], serial,BACKEND, usbip,host=HOST[,port=PORT],busid=BUSID"
)
"""What an error lists."""


def create(word: str, name: str) -> UsbBackend:
    """The backend of a controller: the words of its ports from port 1 on, `;` between them.  BackendError."""
    return UsbBackend(name, parse_ports, create_port, word)


def parse_ports(word: str, name: str) -> tuple[str, ...]:
    """The words of the ports, "" for nothing.  BackendError if there are too many."""
    words = tuple("" if part.strip() == NONE else part.strip() for part in word.split(";"))
    if len(words) > PORTS:
        raise BackendError(f"{name}: {len(words)} USB ports are asked for; there are {PORTS}")
    return words


def create_port(word: str, where: str) -> Port:
    """What one port's word asks for.  BackendError names port and word."""
    first, _, argument = word.partition(",")
    factory = FACTORIES.get(first)
    if factory is None:
        raise BackendError(f"{where}: unknown USB device {word!r} (known: {SYNTAX})")
    return factory(argument, where)
