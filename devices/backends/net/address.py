"""Socket addresses in QEMU's options: `addr.type=inet,addr.host=H,addr.port=P` or `addr.type=unix,addr.path=P`."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from devices.backends.words import check_host, number
from machine.errors import BackendError
from machine.listening import HIGHEST_PORT, LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS: Final = ("type", "host", "port", "path")
LONGEST_PATH: Final = 107
"""sun_path without its final zero (unix(7))."""

Place = str | tuple[Any, ...]
"""What a socket is bound or connected to."""


@dataclass(frozen=True, slots=True)
class Address:
    """An internet address, or a unix socket's path when `path` is not empty."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def find(self, kind: socket.SocketKind, family: int = socket.AF_UNSPEC) -> Place:
        """Where it is for a socket of this kind and family; a host's name is looked up, which may wait.  OSError."""
        return self.path or socket.getaddrinfo(self.host, self.port, family, kind)[0][4]

    def socket(self, kind: socket.SocketKind) -> tuple[socket.socket, Place]:
        """A new socket of the right family, and what to bind or connect it to; OSError."""
        if self.path:
            return socket.socket(socket.AF_UNIX, kind), self.path
        family, _, _, _, place = socket.getaddrinfo(self.host, self.port, type=kind)[0]
        return socket.socket(family, kind), place


def address_keys(*prefixes: str) -> tuple[str, ...]:
    """The options that parse_address() looks at."""
    return tuple(f"{prefix}.{key}" for prefix in prefixes for key in KEYS)


def parse_address(options: Mapping[str, str], prefix: str, where: str) -> Address | None:
    """The address in `prefix`.*; None if nothing is said of it.  BackendError says what is missing or wrong."""
    given = {key: options[f"{prefix}.{key}"] for key in KEYS if f"{prefix}.{key}" in options}
    if not given:
        return None
    kind = given.pop("type", "unix" if "path" in given else "inet")
    if kind not in ("inet", "unix"):
        raise BackendError(f"{where}: {prefix}.type={kind}: write inet or unix")
    wanted = ("host", "port") if kind == "inet" else ("path",)
    for key in given:
        if key not in wanted:
            raise BackendError(f"{where}: {prefix}.{key} is no part of an address of type {kind}")
    if kind == "inet":
        if "port" not in given:
            raise BackendError(f"{where}: {prefix}.port is missing")
        port = number(given["port"], 0, HIGHEST_PORT, f"{where}: {prefix}.port")
        host = given.get("host", "").strip("[]") or LOOPBACK
        check_host(host, f"{where}: {prefix}.host")
        return Address(host, port)
    path = given.get("path", "")
    if not path or len(path.encode()) > LONGEST_PATH:
        raise BackendError(f"{where}: {prefix}.path: a unix socket needs a path of 1 to {LONGEST_PATH} bytes")
    return Address(path=path)


def remove_stale(path: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Remove a socket file nobody listens on any more; OSError if it cannot be removed."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            # Somebody is busy with it, or it is of another kind: binding it will tell.
            return
