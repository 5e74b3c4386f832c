"""A broker that serves in a thread of its own, and doors to it.  Real sockets; no test lives here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from machine import message as m
from machine.codec import decode
from machine.icount import BROKER
from machine.port import Port
from replay_broker.roster import Roster
from replay_broker.server import Server
from replay_broker.session.lasting import LastingSession
from replay_broker.sockets import Sockets
from tests.unit.replay_broker.stage import BOARD, TalliedLedger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from replay_broker.monitor.monitor import Monitor

PATIENCE_S = 10.0
NAMES = ("cpu", *(slot.name for slot in BOARD.devices))


class Running:
    """A server that serves in a thread of its own, and doors to it."""

    def __init__(
        self,
        directory: Path,
        monitor: Monitor | None = None,
        *,
        rebuild: bool = True,
        session: type[LastingSession] = LastingSession,
    ) -> None:
        self.bus = f"ipc://{directory}/b"
        self.ledger = TalliedLedger()
        self.server = Server(
            Sockets(self.bus, f"ipc://{directory}/c"),
            Roster.of(NAMES),
            m.RunMode.RECORD,
            lambda send: session(BOARD, send, self.ledger),
            monitor=monitor,
            rebuild=rebuild,
        )
        self._ports: list[Port] = []
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        self.control = self._open(f"ipc://{directory}/c")

    def door(self) -> Port:
        """A new connection to the bus."""
        return self._open(self.bus)

    def node(self, name: str, *, version: int = m.WIRE_VERSION, pid: int = 4711, host: str = "elsewhere") -> Port:
        """A connection on which Hello has been said; nobody watches processes of another host."""
        port = self.door()
        port.send(m.Hello(version, name, pid, "memory" if name == "cpu" else "", host), BROKER, 0)
        return port

    def machine(self, serial_pid: int = 0) -> dict[str, Port]:
        """Every node, welcomed, ready, and the devices reset.  `serial_pid`: a process of this host."""
        ports = {name: self.node(name) for name in NAMES if name != "serial0" or not serial_pid}
        if serial_pid:
            ports["serial0"] = self.node("serial0", pid=serial_pid, host="")
        for port in ports.values():
            be_welcomed(port)
        begin(ports)
        return ports

    def heir(self, name: str, dead: int = 4711, pid: int = 4711, host: str = "elsewhere") -> Port:
        """The connection of a process that comes for one that was killed, welcomed."""
        self.control.send(m.ProcessEnded(name, dead, "was killed by SIGKILL"), BROKER, 0)
        self.status()
        port = self.node(name, pid=pid, host=host)
        assert be_welcomed(port).rebuild
        return port

    def status(self) -> m.Status:
        """Ask how it is."""
        return status_from(self.control)

    def node_states(self) -> dict[str, m.NodeState]:
        """How each process is."""
        return {node.name: node.state for node in status_from(self.control, nodes=True).nodes}

    def end(self) -> m.Status:
        """The status of a run that is over."""
        while (status := self.status()).state in (m.RunState.STARTING, m.RunState.RUNNING):
            pass
        return status

    def close(self) -> None:
        """End a run that has not begun, dismiss the broker of one that is over."""
        for _ in range(2):
            self.control.send(m.Quit(), BROKER, 0)
        self._thread.join(PATIENCE_S)
        for port in self._ports:
            port.close(0)
        assert not self._thread.is_alive()

    def _open(self, endpoint: str) -> Port:
        port = Port(endpoint)
        self._ports.append(port)
        return port


def hear(port: Port) -> m.Message:
    """The next message; AssertionError if none comes."""
    frame = port.receive(PATIENCE_S)
    assert frame is not None, "the broker is silent"
    return decode(frame.type, frame.payload)


def be_welcomed(port: Port) -> m.Welcome:
    """A node is let in, and learns its number."""
    welcome = hear(port)
    assert isinstance(welcome, m.Welcome)
    port.number = welcome.number
    return welcome


def begin(ports: Mapping[str, Port]) -> None:
    """Every node is ready, and the devices are reset."""
    for port in ports.values():
        port.send(m.Ready(), BROKER, 0)
    ports["cpu"].send(m.Sync(), BROKER, 0)
    for name in NAMES[1:]:
        assert hear(ports[name]) == m.Reset()
        ports[name].send(m.Done(), BROKER, 0)
    assert [hear(ports["cpu"]) for _ in range(2)] == [m.SyncPoint(), m.Grant()]


def status_from(control: Port, *, nodes: bool = False) -> m.Status:
    """Ask how it is."""
    control.send(m.StatusRequest(nodes=nodes), BROKER, 0)
    status = hear(control)
    assert isinstance(status, m.Status)
    return status


def fail_on_purpose(cpu: Port) -> None:
    """The CPU gives up, and the run is over: from now on the server can be dismissed."""
    cpu.send(m.Fault(m.FaultCode.INTERNAL, "enough"), BROKER, 0)
    # Another connection's Quit may overtake this one's Fault.
    while hear(cpu) != m.Shutdown():
        pass
