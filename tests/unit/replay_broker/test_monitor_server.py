"""The monitor in the broker's one loop: what reaches the machine's nodes, and comes back.  Real sockets throughout."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from machine import message as m
from machine.icount import BROKER
from replay_broker.monitor.monitor import Monitor
from tests.unit.replay_broker.serving import PATIENCE_S, Running, fail_on_purpose, hear
from tests.unit.replay_broker.stage import BOARD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Peer:
    """A client that waits, as any would."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rwb")
        self.hear()
        assert self.execute("qmp_capabilities") == {"return": {}}

    def hear(self) -> dict[str, Any]:
        """The next document."""
        document: dict[str, Any] = json.loads(self._file.readline())
        return document

    def ask(self, command: str, **arguments: Any) -> None:
        """Ask only."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        self._file.flush()

    def execute(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Ask and hear."""
        self.ask(command, **arguments)
        return self.hear()

    def close(self) -> None:
        """Go."""
        self._file.close()
        self._socket.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server with a monitor; a test that starts a machine ends it."""
    monitor = Monitor(BOARD, "", tmp_path)
    monitor.open([], [])
    running = Running(tmp_path, monitor)
    yield running
    running.close()
    assert not (tmp_path / "qmp").exists()


@pytest.fixture
def peer(running: Running, tmp_path: Path) -> Iterator[Peer]:
    """A client of the monitor."""
    peer = Peer(tmp_path / "qmp")
    yield peer
    peer.close()


def test_another_backend_is_asked_of_its_device_and_its_answer_comes_back(running: Running, peer: Peer) -> None:
    ports = running.machine()
    peer.ask("chardev-change", id="serial0", backend="pty")
    assert hear(ports["serial0"]) == m.ChangeBackend("serial0", "pty")
    ports["serial0"].send(m.BackendChanged("no terminal left"), BROKER, 0)
    assert peer.hear()["error"]["desc"] == "no terminal left"
    running.control.send(m.ChangeBackend("serial0", "null"), BROKER, 0)
    assert hear(ports["serial0"]) == m.ChangeBackend("serial0", "null")
    ports["serial0"].send(m.BackendChanged(), BROKER, 0)
    assert hear(running.control) == m.BackendChanged()
    fail_on_purpose(ports["cpu"])
    running.end()


def test_a_backend_of_nobody_is_refused_to_a_control_client(running: Running) -> None:
    running.control.send(m.ChangeBackend("serial0", "null"), BROKER, 0)
    assert hear(running.control) == m.BackendChanged("the machine does not run")
    ports = running.machine()
    for node in ("cpu", "nic7"):
        running.control.send(m.ChangeBackend(node, "null"), BROKER, 0)
        assert hear(running.control) == m.BackendChanged(f"{node} has no process in this run")
    fail_on_purpose(ports["cpu"])
    running.end()


def test_a_change_under_way_when_the_run_ends_is_answered(running: Running, peer: Peer) -> None:
    ports = running.machine()
    peer.ask("chardev-change", id="serial0", backend="pty")
    hear(ports["serial0"])
    fail_on_purpose(ports["cpu"])
    answers = [peer.hear(), peer.hear()]
    assert {"error": {"class": "GenericError", "desc": "the run is over"}} in answers
    assert [a["data"]["reason"] for a in answers if a.get("event") == "SHUTDOWN"] == ["host-error"]
    running.end()


def test_an_answer_that_nobody_asked_for_ends_the_run(running: Running) -> None:
    ports = running.machine()
    ports["serial0"].send(m.BackendChanged(), BROKER, 0)
    assert running.end().detail == "serial0 changed a backend that nobody asked it to"


def test_the_cpu_is_held_and_let_go(running: Running, peer: Peer) -> None:
    cpu = running.machine()["cpu"]
    peer.ask("stop")
    assert hear(cpu) == m.Pause(on=True, ticket=1)
    cpu.send(m.Paused(ticket=1), BROKER, 1234)
    assert [peer.hear().get("event"), peer.hear()] == ["STOP", {"return": {}}]
    assert peer.execute("query-status")["return"]["status"] == "paused"
    peer.ask("cont")
    assert hear(cpu) == m.Pause(on=False, ticket=2)
    assert [peer.hear().get("event"), peer.hear()] == ["RESUME", {"return": {}}]
    fail_on_purpose(cpu)
    running.end()


def test_a_quit_from_the_monitor_ends_the_run_and_the_monitor_outlives_it(running: Running, peer: Peer) -> None:
    ports = running.machine()
    assert peer.execute("quit") == {"return": {}}
    assert hear(ports["cpu"]) == m.Kick()
    ports["cpu"].send(m.Sync(), BROKER, 50)
    assert [hear(ports["cpu"]) for _ in range(3)] == [m.SyncPoint(), m.StopRequest(), m.StateRequest()]
    for name in ("cpu", "serial0", "rtc0"):
        if name != "cpu":
            assert hear(ports[name]) == m.StateRequest()
        ports[name].send(m.Digest(m.DigestScope.ALL, bytes(32)), BROKER, 50)
    assert peer.hear()["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert peer.execute("query-status")["return"]["status"] == "shutdown"
    # A second one does not send the broker away from those who have not heard of the end.
    assert peer.execute("quit") == {"return": {}}
    assert running.status().state is m.RunState.ENDED


def test_the_power_key_is_pressed_for_a_control_client_or_it_hears_why_not(running: Running) -> None:
    ports = running.machine()
    running.control.send(m.Quit(power_off=True), BROKER, 0)
    refused = hear(running.control)
    assert isinstance(refused, m.Refused)
    assert "no part of this machine has a power button" in refused.reason
    assert running.status().state is m.RunState.RUNNING
    fail_on_purpose(ports["cpu"])
    running.end()


def test_news_for_which_nobody_has_come_leaves_the_broker_asleep(tmp_path: Path) -> None:
    monitor = Monitor(BOARD, "", tmp_path)
    monitor.open([], [])
    monitor.tell("DEJAVM_NODE_LOST", {"node": "serial0"})
    assert not monitor.backlog
    monitor.close()
