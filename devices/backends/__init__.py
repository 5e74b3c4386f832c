"""Every backend there is, in one table: kind of device -> first word of a slot's `backend` -> how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from devices.backends.char.file import create_file
from devices.backends.char.null import create_null
from devices.backends.char.pty import create_pty
from devices.backends.char.script import create_script
from devices.backends.char.stdio import create_stdio
from devices.backends.char.stream import create_tcp, create_unix
from devices.model import Backend
from machine.errors import BackendError

Factory = Callable[[str, str], Backend]
"""factory(argument, name): the argument is what follows the colon, the name is the device's, for messages."""

BACKENDS: Final[Mapping[str, Mapping[str, Factory]]] = {
    "none": {},
    "char": {
        "stdio": create_stdio,
        "null": create_null,
        "pty": create_pty,
        "file": create_file,
        "tcp": create_tcp,
        "unix": create_unix,
        "script": create_script,
    },
}

SYNTAX: Final[Mapping[str, str]] = {
    "char": (
        "stdio, null, pty, file:PATH, tcp:HOST:PORT[,server=on][,wait=off], "
        "unix:PATH[,server=on][,wait=off], script:PATH"
    ),
}
"""What an error lists, in QEMU's words for -serial."""


def create_backend(kind: str, word: str, name: str) -> Backend:
    """The backend a slot's word asks for, not opened yet; "" asks for null.

    A device of kind `none` has no backend and its word is somebody else's.  BackendError names device and word.
    """
    table = BACKENDS[kind]
    if not table or not word:
        return create_null("", name)
    first, _, argument = word.partition(":")
    factory = table.get(first)
    if factory is None:
        raise BackendError(f"{name}: unknown backend {word!r} (known: {SYNTAX[kind]})")
    return factory(argument, name)
