"""Where a socket is, in QEMU's words: `HOST:PORT` or `PATH`, then options between commas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from devices.backends.words import check_host, is_number, split_commas
from machine.errors import BackendError

HIGHEST_PORT: Final = 65535
LOOPBACK: Final = "127.0.0.1"
LEGACY: Final[Mapping[str, tuple[str, str]]] = {
    "server": ("server", "on"),
    "nowait": ("wait", "off"),
    "wait": ("wait", "on"),
    "nodelay": ("nodelay", "on"),
    "telnet": ("telnet", "on"),
}
"""Bare options QEMU has kept from before `=on`."""
REFUSED: Final[Mapping[str, str]] = {
    "fd": "a descriptor that another process hands over cannot be named in a recording; give the address",
}
"""Options of QEMU that a recorded machine cannot have, and why."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """A TCP address, or a unix socket's path when `path` is not empty."""

    host: str = ""
    port: int = 0
    path: str = ""
    server: bool = False
    wait: bool = True
    telnet: bool = False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        word = "telnet" if self.telnet else "tcp"
        return f"{word}:{spell_host(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class DatagramAddress:
    """A UDP peer, and the address the peer knows us by; port 0 of ours is chosen by the kernel."""

    host: str
    port: int
    local_host: str = ""
    local_port: int = 0

    def __str__(self) -> str:
        return f"udp:{spell_host(self.host)}:{self.port}"


def spell_host(host: str) -> str:
    """A host as it stands in front of a colon: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_tcp(argument: str, name: str, word: str = "tcp") -> StreamAddress:
    """`HOST:PORT[,server=on][,wait=off][,telnet=on]`; no host is the loopback; [::1] is IPv6.

    `word` is `tcp` or `telnet`, which is the same with telnet=on.  BackendError says what is wrong.
    """
    place, *options = split_commas(argument) or [""]
    values = {"server": False, "wait": True, "nodelay": True, "telnet": word == "telnet"}
    _read_options(values, options, f"{name}: backend {word}:{argument}")
    if word == "telnet" and not values["telnet"]:
        raise BackendError(f"{name}: backend telnet:{argument}: telnet without telnet is tcp:{place}")
    host, port = parse_place(place, f"{name}: backend {word}:{argument}: write {word}:HOST:PORT")
    return StreamAddress(
        host=host or LOOPBACK, port=port, server=values["server"], wait=values["wait"], telnet=values["telnet"]
    )


def parse_unix(argument: str, name: str) -> StreamAddress:
    """`PATH[,server=on][,wait=off]`.  BackendError says what is wrong."""
    place, *options = split_commas(argument) or [""]
    values = {"server": False, "wait": True}
    _read_options(values, options, f"{name}: backend unix:{argument}")
    if not place:
        raise BackendError(f"{name}: backend unix needs a path: unix:PATH")
    return StreamAddress(path=place, server=values["server"], wait=values["wait"])


def parse_udp(argument: str, name: str) -> DatagramAddress:
    """`[HOST]:PORT[@[LOCALHOST]:LOCALPORT]`; no host is the loopback.  BackendError says what is wrong."""
    where = f"{name}: backend udp:{argument}: write udp:HOST:PORT@LOCALHOST:LOCALPORT"
    remote, at, local = argument.partition("@")
    host, port = parse_place(remote, where)
    if not port:
        raise BackendError(f"{where}; the peer's port cannot be 0")
    local_host, local_port = parse_place(local, where) if at else ("", 0)
    return DatagramAddress(host or LOOPBACK, port, local_host, local_port)


def parse_place(place: str, where: str) -> tuple[str, int]:
    """`HOST:PORT`, the host without brackets and perhaps empty; BackendError, with `where` in front."""
    host, colon, port = place.rpartition(":")
    if not colon or not is_number(port) or int(port) > HIGHEST_PORT:
        raise BackendError(f"{where} with a port of 0 to {HIGHEST_PORT}")
    host = host.removeprefix("[").removesuffix("]")
    check_host(host, where)
    return host, int(port)


def _read_options(values: dict[str, bool], options: list[str], where: str) -> None:
    """Switch what the options switch; BackendError names one that is unknown or refused."""
    for option in options:
        key, _, value = option.partition("=")
        if key in REFUSED:
            raise BackendError(f"{where}: {key}: {REFUSED[key]}")
        key, value = LEGACY.get(option, (key, value))
        if key not in values or value not in ("on", "off"):
            known = ", ".join(f"{known}=on|off" for known in values)
            raise BackendError(f"{where}: unknown option {option!r} (known: {known})")
        values[key] = value == "on"
