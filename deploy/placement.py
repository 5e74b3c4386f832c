"""Which process of a machine runs on which host: a board file's hosts, apart from the machine itself; pure.

A board says it so; without [hosts] everything is on one host.

    [machine]
    broker_host = "a"
    cpu_host = "b"            # default: the broker's

    [hosts.a]
    address = "10.0.0.1"      # where the others reach it
    port = 7811               # the broker's; its control socket is one higher

    [hosts.b]
    address = "10.0.0.2"

    [[device]]
    name = "nic0"
    host = "c"                # default: the CPU's
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deploy.plan import BROKER, CPU
from machine.board import HOST_KEYS
from machine.errors import BoardError

if TYPE_CHECKING:
    from collections.abc import Mapping

HIGHEST_PORT: Final = 65534


@dataclass(frozen=True, slots=True)
class Placement:
    """`hosts` are addresses by name; `places` hosts by process name; "" and no hosts: all are here."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    port: int = 0

    def host_of(self, name: str) -> str:
        """Where a process runs."""
        return self.places.get(name, self.places.get(CPU, ""))

    @property
    def broker_bus(self) -> str:
        """Where nodes of other hosts reach the broker: HOST:PORT."""
        return f"{self.hosts[self.host_of(BROKER)]}:{self.port}"

    @property
    def broker_control(self) -> str:
        """Where control clients of other hosts reach it."""
        return f"{self.hosts[self.host_of(BROKER)]}:{self.port + 1}"


HERE_ALONE: Final = Placement()


def parse_placement(text: str, source: str) -> Placement:
    """The placement in a board's TOML text, which has been parsed as a board; BoardError names the key."""
    data: dict[str, Any] = tomllib.loads(text)
    tables = data.get("hosts", {})
    machine = data.get("machine", {})
    places = {name: machine[key] for key, name in HOST_KEYS.items() if key in machine}
    places |= {device["name"]: device["host"] for device in data.get("device", []) if "host" in device}
    if not tables:
        if places:
            raise BoardError(f"{source}: hosts: there is no [hosts.{next(iter(places.values()))}]; name its address")
        return HERE_ALONE
    hosts = {str(name): _address(table, f"{source}: hosts.{name}") for name, table in tables.items()}
    if BROKER not in places:
        raise BoardError(f"{source}: machine.broker_host: missing; say which host the broker is on")
    places.setdefault(CPU, places[BROKER])
    for name, host in places.items():
        if host not in hosts:
            raise BoardError(f"{source}: {name}: there is no host {host} (there are: {', '.join(sorted(hosts))})")
    port = tables[places[BROKER]].get("port")
    if not isinstance(port, int) or not 0 < port <= HIGHEST_PORT:
        raise BoardError(f"{source}: hosts.{places[BROKER]}.port: the broker's host needs a port, 1 to {HIGHEST_PORT}")
    return Placement(hosts, places, port)


def _address(table: object, where: str) -> str:
    if not isinstance(table, dict) or not isinstance(table.get("address"), str):
        raise BoardError(f'{where}.address: missing; write address = "10.0.0.1"')
    if unknown := set(table) - {"address", "port"}:
        raise BoardError(f"{where}.{sorted(unknown)[0]}: unknown key (known: address, port)")
    return str(table["address"])
