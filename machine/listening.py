"""Where a server listens that controls a machine, in QEMU's words for -qmp, -monitor and -gdb."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from machine.errors import UsageError

HIGHEST_PORT: Final = 65535
LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 16
MODE: Final = 0o600
SWITCHES: Final = ("server", "wait", "remote")


@dataclass(frozen=True, slots=True)
class Address:
    """A unix socket's path, or a TCP address when `path` is empty."""

    path: str = ""
    host: str = LOOPBACK
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


def parse_address(word: str, option: str) -> Address:
    """`unix:PATH` or `tcp:HOST:PORT`, then `,server=on`, `,wait=off`, `,remote=on`; UsageError names the option.

    It is always a server that waits for nobody.  A host that is not this one's loopback needs remote=on: whoever
    comes there has the machine.
    """
    where = f"{option} {word}"
    # In a path `,,` is a comma, as QEMU has it.
    place, *options = (part.replace("\0", ",") for part in word.replace(",,", "\0").split(","))
    switches = _switches(options, where)
    if not switches["server"] or switches["wait"]:
        raise UsageError(f"{where}: the monitor is a server that waits for nobody: server=on,wait=off")
    kind, colon, rest = place.partition(":")
    if kind == "unix" and rest:
        return Address(path=rest)
    host, second, port = rest.rpartition(":")
    if kind != "tcp" or not colon or not second or not (port.isascii() and port.isdigit()):
        raise UsageError(f"{where}: write unix:PATH or tcp:HOST:PORT")
    if int(port) > HIGHEST_PORT:
        raise UsageError(f"{where}: a port is 0 to {HIGHEST_PORT}")
    address = Address(host=host.strip("[]") or LOOPBACK, port=int(port))
    if not switches["remote"] and not _is_loopback(address.host):
        raise UsageError(f"{where}: whoever reaches {address.host} would own the machine; add remote=on to mean it")
    return address


def _switches(options: list[str], where: str) -> dict[str, bool]:
    values = {"server": True, "wait": False, "remote": False}
    for option in options:
        key, equals, value = option.partition("=")
        if key == "nowait" and not equals:
            key, value = "wait", "off"
        if key not in SWITCHES or (value or "on") not in ("on", "off"):
            raise UsageError(f"{where}: unknown option {option!r} (known: {', '.join(SWITCHES)}, each on or off)")
        values[key] = (value or "on") == "on"
    return values


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def listen(address: Address, option: str) -> tuple[socket.socket, Address]:
    """A listening socket that never waits, and its address with the port it got; UsageError says why there is none."""
    family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if address.path:
            _remove_stale(address.path)
            # Between bind() and chmod() nobody may come in.
            before = os.umask(0o777 & ~MODE)
            try:
                listener.bind(address.path)
            finally:
                os.umask(before)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except (OSError, ValueError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"{option} {address}: cannot listen: {reason}") from error
    if address.path:
        return listener, address
    return listener, Address(host=address.host, port=listener.getsockname()[1])


def forget(address: Address) -> None:
    """Remove what listening has left behind."""
    if address.path:
        with suppress(OSError):
            os.unlink(address.path)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more; what is something else stays, and bind() says so."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            with suppress(BlockingIOError):
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
