"""`user`: the network of whoever runs the machine, through passt(1); addresses and options as QEMU's -netdev user."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import TYPE_CHECKING, Final

from devices.backends.net.base import NetBackend
from devices.backends.net.cable import CableWord
from devices.backends.net.passt import PROGRAM, Plan, start_passt
from devices.backends.net.peer import CallingWire
from devices.backends.words import join_commas, number, parse_options, split_commas, switch
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devices.model import Backend

NETWORK: Final = "10.0.2.0/24"
GATEWAY_HOST: Final = 2
GUEST_HOST: Final = 15
"""QEMU's numbers in a network."""
HIGHEST_PORT: Final = 65535
DELAYS_S: Final = (0.1, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before passt is started again."""
FORWARD: Final = re.compile(
    r"(?P<kind>tcp|udp)?:(?P<host>\[[0-9a-fA-F:.]+\]|[0-9.]*):(?P<port>\d{1,5})-(?P<guest>[0-9.]*):(?P<to>\d{1,5})"
)
KEYS: Final = ("net", "host", "dhcpstart", "dns", "ipv4", "ipv6")
HOSTFWD: Final = "hostfwd="


def create_user(argument: str, name: str) -> Backend:
    """`user[,net=N][,host=A][,dhcpstart=A][,dns=A][,ipv4=off][,ipv6=off][,hostfwd=[tcp|udp]:[HOST]:PORT-[GUEST]:PORT]`.

    Each card has a network of its own; `hostfwd` may be given several times.
    """
    word = CableWord.of("user", argument, name)
    where = f"{name}: backend {word.wire}"
    parts = split_commas(word.options)
    forwards = [part.removeprefix(HOSTFWD) for part in parts if part.startswith(HOSTFWD)]
    options = parse_options(join_commas([part for part in parts if not part.startswith(HOSTFWD)]), KEYS, where)
    plan = make_plan(options, forwards, where)
    return NetBackend(name, word, CallingWire(name, PROGRAM, lambda: start_passt(plan), DELAYS_S))


def make_plan(options: Mapping[str, str], forwards: Sequence[str], where: str) -> Plan:
    """The network that the options describe; BackendError names what is wrong."""
    try:
        network = IPv4Network(options.get("net", NETWORK), strict=False)
        gateway = IPv4Address(options.get("host", network[GATEWAY_HOST]))
        address = IPv4Address(options.get("dhcpstart", network[GUEST_HOST]))
        resolver = str(ip_address(options["dns"])) if "dns" in options else ""
    except (ValueError, IndexError) as error:
        raise BackendError(f"{where}: {error}") from error
    if gateway not in network or address not in network or gateway == address:
        raise BackendError(f"{where}: host {gateway} and dhcpstart {address} must be two addresses of {network}")
    ipv4, ipv6 = (switch(options.get(key, "on"), f"{where}: {key}") for key in ("ipv4", "ipv6"))
    if not ipv4 and not ipv6:
        raise BackendError(f"{where}: ipv4 and ipv6 are both off")
    ports: dict[str, list[str]] = {"tcp": [], "udp": []}
    for forward in forwards:
        kind, port = _forward(forward, address, where)
        ports[kind].append(port)
    return Plan(network, gateway, address, resolver, tuple(ports["tcp"]), tuple(ports["udp"]), ipv4, ipv6)


def _forward(text: str, address: IPv4Address, where: str) -> tuple[str, str]:
    """`tcp:[HOST]:PORT-[GUEST]:PORT` as kind and passt's `[HOST/]PORT:PORT`."""
    found = FORWARD.fullmatch(text)
    if found is None:
        raise BackendError(f"{where}: {HOSTFWD}{text}: write [tcp|udp]:[HOST]:PORT-[GUEST]:PORT")
    host, guest = found["host"].strip("[]"), found["guest"]
    try:
        host = str(ip_address(host)) if host else ""
    except ValueError as error:
        raise BackendError(f"{where}: {HOSTFWD}{text}: {error}") from error
    if guest not in ("", str(address)):
        raise BackendError(f"{where}: {HOSTFWD}{text}: the guest is {address}")
    for port in (found["port"], found["to"]):
        number(port, 1, HIGHEST_PORT, f"{where}: {HOSTFWD}{text}")
    return found["kind"] or "tcp", f"{host}/{found['port']}:{found['to']}" if host else f"{found['port']}:{found['to']}"
