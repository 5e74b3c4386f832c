"""A machine on three hosts: a board, its keys, and `dejavm` run on each."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from machine.board import render_board
from tests.harness.machine import TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from machine.board import Board
    from tests.harness.hosts import Network
    from tests.harness.machine import Finished, Home, Running

PORT: Final = 7811
PATIENCE_S: Final = 150.0
"""A loaded host takes its time: each message passes three of them."""
NAME: Final = "far"


class FarService:
    """One machine, spread over the hosts of a network."""

    def __init__(self, home: Home, network: Network, board: Board, places: Mapping[str, str]) -> None:
        """`places`: the host of `broker`, `cpu` and each device."""
        self._home = home
        self._network = network
        self._broker = places["broker"]
        self.hosts = tuple(network.hosts)
        self.board = home.file("far.toml", _placed(board, network, places))
        self.keys = home.work / "keys"
        done = home.run("keygen", self.keys, self.board)
        assert done.exit_code == 0, done.stderr
        for host in self.hosts:
            self.runtime(host).mkdir()

    def runtime(self, host: str) -> Path:
        """Where a host keeps its running machines."""
        return self._home.path / host

    def directory(self, host: str) -> Path:
        """The machine's directory on a host."""
        return self.runtime(host) / f"dejavm-{os.getuid()}" / NAME

    def start(self, host: str, *args: str | Path) -> Running:
        """Start a `dejavm` command on a host."""
        command = [*self._network.hosts[host].inside(), *self._home.argv(*args)]
        return self._home.start_argv(command, {"XDG_RUNTIME_DIR": str(self.runtime(host))})

    def run(self, host: str, *args: str | Path) -> Finished:
        """Run one to its end."""
        return self.start(host, *args).finish(2 * TIMEOUT_S)

    def up(self, *args: str | Path, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Start the machine, its part on each host; `meanwhile` does what it waits for."""
        common = ("--keys", self.keys, "--name", NAME)
        started = [self.start(host, "up", self.board, "--host", host, *common, *args) for host in self.hosts]
        meanwhile()
        done = [running.finish(2 * TIMEOUT_S) for running in started]
        assert [each.exit_code for each in done] == [0] * len(done), [each.stderr for each in done]

    def down(self) -> None:
        """End it where it has not been, at the broker's host first."""
        for host in sorted(self.hosts, key=lambda name: name != self._broker):
            if not self.directory(host).exists():
                continue
            done = self.run(host, "down", NAME, "--timeout", "0")
            assert done.exit_code == 0, done.stderr
            assert not self.directory(host).exists()

    def said(self) -> str:
        """The diagnostics of all hosts, for who looks into a failure."""
        files = [path for host in self.hosts for path in sorted((self.directory(host) / "logs").glob("*.log"))]
        return "\n".join(f"{path}:\n{path.read_text(errors='replace')}" for path in files)

    def ps(self, host: str | None = None) -> dict[str, Any]:
        """What `ps --json` says on a host, the broker's if none is named."""
        done = self.run(host or self._broker, "ps", NAME, "--json")
        assert done.exit_code == 0, done.stderr
        (machine,) = json.loads(done.stdout)
        assert isinstance(machine, dict)
        return machine

    def await_ps(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first `ps` that is wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(machine := self.ps()):
            assert time.monotonic() < deadline, machine
        return machine


def _placed(board: Board, network: Network, places: Mapping[str, str]) -> str:
    """The board's text with hosts in it."""
    hosts = f'broker_host = "{places["broker"]}"\ncpu_host = "{places["cpu"]}"\n'
    text = render_board(board).replace("[machine]\n", "[machine]\n" + hosts)
    for slot in board.devices:
        text = text.replace(f'name = "{slot.name}"\n', f'name = "{slot.name}"\nhost = "{places[slot.name]}"\n')
    for name, host in network.hosts.items():
        text += f'\n[hosts.{name}]\naddress = "{host.address}"\n'
        text += f"port = {PORT}\n" if name == places["broker"] else ""
    return text
