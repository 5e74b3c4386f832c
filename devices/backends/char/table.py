"""The character backends by their first word, QEMU's for -serial; each is imported when a word asks for it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from machine.errors import BackendError

if TYPE_CHECKING:
    from devices.model import Backend

Factory = Callable[[str, str], "Backend"]
"""factory(argument, name): the argument is what follows the first word, the name is the device's, for messages."""

FACTORIES: Final[Mapping[str, str]] = {
    "stdio": "devices.backends.char.stdio:create_stdio",
    "null": "devices.backends.char.null:create_null",
    "pty": "devices.backends.char.pty:create_pty",
    "file": "devices.backends.char.file:create_file",
    "tcp": "devices.backends.char.stream:create_tcp",
    "unix": "devices.backends.char.stream:create_unix",
    "socket": "devices.backends.char.stream:create_socket",
    "telnet": "devices.backends.char.stream:create_telnet",
    "udp": "devices.backends.char.udp:create_udp",
    "pipe": "devices.backends.char.pipe:create_pipe",
    "ringbuf": "devices.backends.char.ringbuf:create_ringbuf",
    "tty": "devices.backends.char.tty:create_tty",
    "pyserial": "devices.backends.char.pyserial:create_pyserial",
    "mon": "devices.backends.char.mux:create_muxed",
    "script": "devices.backends.char.script:create_script",
}
"""First word -> `module:function` of its Factory."""

URLS: Final = ("loop", "rfc2217", "socket", "spy", "hwgrep", "alt", "cp2110")
"""What a URL of pyserial begins with; such a word needs no `pyserial:` in front."""

DEVICE_FILES: Final = "/dev/"
"""A word that begins so is a terminal's device file, `tty:` left out."""

SYNTAX: Final = (
    "stdio[,mux=on], null, pty, file:PATH, tcp:HOST:PORT[,server=on][,wait=off][,telnet=on], "
    "unix:PATH[,server=on][,wait=off], socket:(either of the two), telnet:HOST:PORT[,server=on][,wait=off], "
    "udp:[HOST]:PORT[@[LOCALHOST]:LOCALPORT], pipe:PATH, ringbuf[:size=N], tty:/dev/DEVICE[,speed=N], "
    "pyserial:URL[,speed=N], mon:BACKEND, script:PATH"
)
"""What an error lists."""


def create(word: str, name: str) -> Backend:
    """The backend a word asks for, not opened yet; BackendError names device and word."""
    first, argument = divide(word)
    place = FACTORIES.get(first)
    if place is None:
        raise BackendError(f"{name}: unknown backend {word!r} (known: {SYNTAX})")
    module, _, function = place.partition(":")
    factory: Factory = getattr(importlib.import_module(module), function)
    return factory(argument, name)


def divide(word: str) -> tuple[str, str]:
    """A word's first part and its argument; device files and URLs are given the first part they leave out."""
    if word.startswith(DEVICE_FILES):
        return "tty", word
    first, *rest = re.split("[:,]", word, maxsplit=1)
    if first in URLS and word.startswith(f"{first}://"):
        return "pyserial", word
    return first, "".join(rest)
