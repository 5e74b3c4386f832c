"""The input backends by their first word.  All say HostEvent.DATA with whole groups of machine/input_events.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.backends.base import NoBackend
from devices.backends.words import parse_options, switch
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devices.backends import Factory
    from devices.model import Backend


def create_none(argument: str, name: str) -> Backend:
    """`none`: no source of its own; the monitor's events reach the device all the same."""
    parse_options(argument, (), f"{name}: backend none")
    return NoBackend(name)


def create_script(argument: str, name: str) -> Backend:
    """`script,path=FILE`."""
    from devices.backends.input.script import InputScriptBackend  # noqa: PLC0415  # rare, and a start waits for imports

    options = parse_options(argument, ("path",), f"{name}: backend script")
    return InputScriptBackend(_path(options, "script", name), name)


def create_evdev(argument: str, name: str) -> Backend:
    """`evdev,path=DEVICE[,grab=on|off]`."""
    from devices.backends.input.evdev import EvdevBackend  # noqa: PLC0415  # rare, and a start waits for imports

    where = f"{name}: backend evdev"
    options = parse_options(argument, ("path", "grab"), where)
    grab = switch(options.get("grab", "on"), f"{where}: grab")
    return EvdevBackend(_path(options, "evdev", name), name, grab=grab)


def _path(options: Mapping[str, str], word: str, name: str) -> str:
    path = options.get("path", "")
    if not path or path == "on":
        raise BackendError(f"{name}: backend {word} needs a path: {word},path=PATH")
    return path


FACTORIES: Final[Mapping[str, Factory]] = {
    "none": create_none,
    "script": create_script,
    "evdev": create_evdev,
}

SYNTAX: Final = "none, script,path=FILE, evdev,path=DEVICE[,grab=off]"
"""What an error lists."""
