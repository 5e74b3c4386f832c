"""A broker that listens for other hosts, in a thread of its own, and doors to it with keys.  No test lives here."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from machine import message as m
from machine.distant import DistantPort
from machine.icount import BROKER
from machine.keys import OPERATOR, ClientKeys, KeyRing
from replay_broker import server as server_module
from replay_broker.roster import Roster
from replay_broker.server import Server
from replay_broker.session.lasting import LastingSession
from replay_broker.sockets import Sockets
from tests.harness.ports import free_port
from tests.unit.replay_broker.serving import NAMES, PATIENCE_S, status_from
from tests.unit.replay_broker.stage import BOARD, TalliedLedger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.port import Port


class Far:
    """A broker that listens for other hosts, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.ring = KeyRing(directory)
        for name in ("broker", OPERATOR, *NAMES):
            self.ring.make(name)
        port = free_port()
        self.bus, self.control = f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port + 1}"
        sockets = Sockets(f"ipc://{directory}/b", f"ipc://{directory}/c", (self.bus, self.control), self.ring)
        self.server = Server(
            sockets, Roster.of(NAMES), m.RunMode.RECORD, lambda send: LastingSession(BOARD, send, TalliedLedger())
        )
        self._ports: list[Port] = []
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        self.operator = self.port(OPERATOR, self.control)

    def port(self, name: str, endpoint: str = "", keys: ClientKeys | None = None) -> DistantPort:
        """A connection with a node's key."""
        port = DistantPort(endpoint or self.bus, keys or self.ring.client(name))
        self._ports.append(port)
        return port

    def node(self, key: str, name: str = "") -> DistantPort:
        """A connection on which Hello has been said."""
        port = self.port(key)
        port.send(m.Hello(m.WIRE_VERSION, name or key, 1, "memory"), BROKER, 0)
        return port

    def sever(self, port: DistantPort) -> None:
        """A node's connection is over."""
        self._ports.remove(port)
        port.close(0)

    def status(self) -> m.Status:
        """Ask how it is."""
        return status_from(self.operator)

    def await_refusals(self, count: int) -> None:
        """Wait until so much was refused."""
        while self.status().refused < count:
            pass

    def leave(self) -> None:
        """The run is ended, all who asked are told, and the broker goes."""
        for _ in range(2):
            self.operator.send(m.Quit(), BROKER, 0)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """End it."""
        self.leave()
        for port in self._ports:
            port.close(0)


@contextmanager
def far_broker(directory: Path) -> Iterator[Far]:
    """A broker with keys, which does not wait for nodes that never come."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(server_module, "LATECOMER_S", 0.05)
        far = Far(directory)
        yield far
        far.close()
