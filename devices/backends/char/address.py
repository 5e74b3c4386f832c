"""Where a stream socket is, in QEMU's words: `HOST:PORT` or `PATH`, then options between commas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from machine.errors import BackendError

HIGHEST_PORT: Final = 65535
LOOPBACK: Final = "127.0.0.1"
LEGACY: Final = {"server": ("server", "on"), "nowait": ("wait", "off"), "wait": ("wait", "on")}
"""Bare options QEMU has kept from before `=on`."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """A TCP address, or a unix socket's path when `path` is not empty."""

    host: str = ""
    port: int = 0
    path: str = ""
    server: bool = False
    wait: bool = True

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


def parse_tcp(argument: str, name: str) -> StreamAddress:
    """`HOST:PORT[,server=on][,wait=off]`; no host is the loopback; [::1] is IPv6.  BackendError says what is wrong."""
    place, server, wait = _options(f"tcp:{argument}", argument, name)
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise BackendError(f"{name}: backend tcp:{argument}: write tcp:HOST:PORT with a port of 0 to {HIGHEST_PORT}")
    return StreamAddress(host=host.strip("[]") or LOOPBACK, port=int(port), server=server, wait=wait)


def parse_unix(argument: str, name: str) -> StreamAddress:
    """`PATH[,server=on][,wait=off]`.  BackendError says what is wrong."""
    place, server, wait = _options(f"unix:{argument}", argument, name)
    if not place:
        raise BackendError(f"{name}: backend unix needs a path: unix:PATH")
    return StreamAddress(path=place, server=server, wait=wait)


def _options(word: str, argument: str, name: str) -> tuple[str, bool, bool]:
    """The place and the options server and wait."""
    place, *options = argument.split(",")
    values = {"server": False, "wait": True}
    for option in options:
        key, _, value = option.partition("=")
        key, value = LEGACY.get(option, (key, value))
        if key not in values or value not in ("on", "off"):
            raise BackendError(f"{name}: backend {word}: unknown option {option!r} (known: server=on|off, wait=on|off)")
        values[key] = value == "on"
    return place, values["server"], values["wait"]
