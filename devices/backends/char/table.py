"""The character backends by their first word, QEMU's for -serial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends.char.file import create_file
from devices.backends.char.null import create_null
from devices.backends.char.pty import create_pty
from devices.backends.char.script import create_script
from devices.backends.char.stdio import create_stdio
from devices.backends.char.stream import create_tcp, create_unix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devices.backends import Factory

FACTORIES: Final[Mapping[str, Factory]] = {
    "stdio": create_stdio,
    "null": create_null,
    "pty": create_pty,
    "file": create_file,
    "tcp": create_tcp,
    "unix": create_unix,
    "script": create_script,
}

SYNTAX: Final = (
    "stdio, null, pty, file:PATH, tcp:HOST:PORT[,server=on][,wait=off], unix:PATH[,server=on][,wait=off], script:PATH"
)
"""What an error lists."""
