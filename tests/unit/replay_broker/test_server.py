"""The broker's door: who is let in, who is not, and what strangers cannot do.  Real sockets, one thread each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import zmq

from machine import message as m
from machine.codec import decode, encode, encode_header
from machine.icount import BROKER, CPU
from machine.port import Port
from replay_broker import server as server_module
from replay_broker.roster import Roster
from replay_broker.server import Server
from replay_broker.session.lasting import LastingSession
from replay_broker.sockets import Sockets
from tests.unit.replay_broker.stage import BOARD, RTC, SERIAL, TalliedLedger, frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from replay_broker.monitor.monitor import Monitor

PATIENCE_S = 10.0
NAMES = ("cpu", *(slot.name for slot in BOARD.devices))


class Running:
    """A server that serves in a thread of its own, and doors to it."""

    def __init__(self, directory: Path, monitor: Monitor | None = None, *, rebuild: bool = True) -> None:
        self.bus = f"ipc://{directory}/b"
        self.ledger = TalliedLedger()
        self.server = Server(
            Sockets(self.bus, f"ipc://{directory}/c"),
            Roster.of(NAMES),
            m.RunMode.RECORD,
            lambda send: LastingSession(BOARD, send, self.ledger),
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

    def node(self, name: str, *, version: int = m.WIRE_VERSION) -> Port:
        """A connection on which Hello has been said."""
        port = self.door()
        port.send(m.Hello(version, name, 4711, "memory" if name == "cpu" else ""), BROKER, 0)
        return port

    def machine(self) -> dict[str, Port]:
        """Every node, welcomed, ready, and the devices reset."""
        ports = {name: self.node(name) for name in NAMES}
        for port in ports.values():
            welcome = hear(port)
            assert isinstance(welcome, m.Welcome)
            port.number = welcome.number
        for port in ports.values():
            port.send(m.Ready(), BROKER, 0)
        ports["cpu"].send(m.Sync(), BROKER, 0)
        for name in NAMES[1:]:
            assert hear(ports[name]) == m.Reset()
            ports[name].send(m.Done(), BROKER, 0)
        assert [hear(ports["cpu"]) for _ in range(2)] == [m.SyncPoint(), m.Grant()]
        return ports

    def heir(self, name: str) -> Port:
        """The connection of a process that comes for one that was killed, welcomed."""
        self.control.send(m.ProcessEnded(name, 4711, "was killed by SIGKILL"), BROKER, 0)
        self.status()
        port = self.node(name)
        welcome = hear(port)
        assert isinstance(welcome, m.Welcome)
        assert welcome.rebuild
        port.number = welcome.number
        return port

    def status(self) -> m.Status:
        """Ask how it is."""
        self.control.send(m.StatusRequest(), BROKER, 0)
        status = hear(self.control)
        assert isinstance(status, m.Status)
        return status

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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server; a test that starts a machine ends it."""
    running = Running(tmp_path)
    yield running
    running.close()


def fail_on_purpose(cpu: Port) -> None:
    """The CPU gives up, so that the server can be dismissed."""
    cpu.send(m.Fault(m.FaultCode.INTERNAL, "enough"), BROKER, 0)


def test_nobody_is_welcomed_before_the_cpu_has_told_where_memory_is(running: Running) -> None:
    serial = running.node("serial0")
    assert running.status().state is m.RunState.STARTING
    assert not serial.pending()
    cpu = running.node("cpu")
    assert hear(cpu) == m.Welcome(CPU, m.RunMode.RECORD, "memory")
    assert hear(serial) == m.Welcome(SERIAL, m.RunMode.RECORD, "memory")


def test_the_run_begins_when_everybody_is_ready_and_not_before(running: Running) -> None:
    ports = running.machine()
    assert running.status().state is m.RunState.RUNNING
    assert running.ledger.said()[0] == (0, BROKER, CPU, m.SyncPoint())
    fail_on_purpose(ports["cpu"])
    assert running.end().detail == "cpu: enough"


def test_another_wire_version_is_refused_by_number(running: Running) -> None:
    refused = hear(running.node("cpu", version=9))
    assert refused == m.Refused("speaks wire version 9, this broker 1")
    assert running.server.refused == 1


def test_a_node_that_speaks_unknown_messages_is_refused_by_their_names(running: Running) -> None:
    port = running.door()
    port.send(m.Hello(m.WIRE_VERSION, "serial0", 1, types=(1, 2, 99, 63)), BROKER, 0)
    assert hear(port) == m.Refused("speaks messages this broker does not know: type_63, type_99")


def test_an_unknown_message_of_a_node_ends_the_run(running: Running) -> None:
    ports = running.machine()
    ports["serial0"]._outgoing += (encode_header(frame_of(m.IrqLevel(True), SERIAL, CPU, 0)._replace(type=99)), b"")
    ports["serial0"].flush()
    assert running.end().detail == "serial0 may not send type_99"


def test_a_name_that_is_not_on_the_board_is_refused(running: Running) -> None:
    assert hear(running.node("nic7")) == m.Refused("no node nic7 on this board")


def test_a_second_claim_of_a_name_is_refused_and_the_first_stays(running: Running) -> None:
    first = running.node("cpu")
    assert isinstance(hear(first), m.Welcome)
    assert hear(running.node("cpu")) == m.Refused("node cpu is already here, process 4711")
    assert running.status().state is m.RunState.STARTING


def test_the_barrier_names_who_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HELLO_TIMEOUT_S", 0.0)
    running = Running(tmp_path)
    status = running.end()
    assert (status.state, status.detail) == (m.RunState.FAILED, "not here after 0 s: cpu, serial0, rtc0")
    running.close()


NOISE = {
    "no pair": [b"alone"],
    "no header": [b"\xff\xff", b""],
    "an unknown type": [encode_header(frame_of(m.Kick(), 0, 0, 0)).replace(b"\x18\x12", b"\x18\x63"), b""],
    "a bad payload": [encode_header(frame_of(m.Hello(1, "x", 1), 0, 0, 0)), b"\xff\xff\xff"],
    "no Hello": [encode_header(frame_of(m.Kick(), 0, 0, 0)), encode(m.Kick())],
    "many parts": [b"x"] * 7,
}


@pytest.mark.parametrize("parts", NOISE.values(), ids=NOISE)
def test_a_stranger_is_refused_and_counted_and_the_run_goes_on(parts: list[bytes], running: Running) -> None:
    ports = running.machine()
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(running.bus)
    stranger.send_multipart(parts)
    # Hello is answered, so what was sent before it has been dealt with.
    hello = m.Hello(9, "cpu", 1)
    stranger.send_multipart([encode_header(frame_of(hello, 0, 0, 0)), encode(hello)])
    assert stranger.poll(int(PATIENCE_S * 1000))
    stranger.close()
    context.term()
    assert running.server.refused == 2
    assert running.status().state is m.RunState.RUNNING
    fail_on_purpose(ports["cpu"])
    running.end()


def test_a_node_that_speaks_as_another_ends_the_run(running: Running) -> None:
    ports = running.machine()
    ports["serial0"].number = RTC
    ports["serial0"].send(m.IrqLevel(True), CPU, 0)
    status = running.end()
    assert (status.state, status.detail) == (m.RunState.FAILED, "serial0 speaks as node 3")
    assert hear(ports["cpu"]) == m.Shutdown()


def test_a_node_that_says_what_is_not_its_to_say_ends_the_run(running: Running) -> None:
    ports = running.machine()
    ports["rtc0"].send(m.PowerOff(m.PowerOffReason.SHUTDOWN), BROKER, 0)
    assert running.end().detail == "rtc0 may not send power_off"
    assert running.ledger.closed is False


def test_noise_on_the_control_socket_harms_nobody(running: Running) -> None:
    running.control.send(m.IrqLevel(True), BROKER, 0)
    assert running.status().state is m.RunState.STARTING
    assert running.server.refused == 1


def test_a_message_between_two_nodes_reaches_the_other_one_stamped(running: Running) -> None:
    ports = running.machine()
    ports["serial0"].send(m.IrqLevel(True), CPU, 0)
    frame = ports["cpu"].receive(PATIENCE_S)
    assert frame is not None
    assert (frame.source, frame.seq) == (SERIAL, len(running.ledger.frames))
    fail_on_purpose(ports["cpu"])
    running.end()


def test_a_run_that_is_told_to_quit_before_it_began_is_over_at_once(running: Running) -> None:
    running.control.send(m.Quit(), BROKER, 0)
    assert running.end().detail == "ended before it began"


def test_a_stranger_s_fault_ends_nothing(running: Running) -> None:
    running.door().send(m.Fault(m.FaultCode.SETUP, "I am nobody"), BROKER, 0)
    while running.status().refused == 0:
        pass
    assert running.status().state is m.RunState.STARTING


def test_a_node_that_fails_before_it_is_welcome_says_who_it_is(running: Running) -> None:
    port = running.door()
    port.queue(m.Hello(m.WIRE_VERSION, "serial0", 4711), BROKER, 0)
    port.send(m.Fault(m.FaultCode.SETUP, "no such file"), BROKER, 0)
    status = running.end()
    assert (status.state, status.detail) == (m.RunState.FAILED, "serial0: no such file")


def test_a_process_that_its_supervisor_saw_die_ends_a_run_that_rebuilds_nothing(tmp_path: Path) -> None:
    running = Running(tmp_path, rebuild=False)
    running.machine()
    running.control.send(m.ProcessEnded("serial0", 4711, "was killed by SIGKILL"), BROKER, 0)
    status = running.end()
    assert status.detail == "serial0, process 4711, was killed by SIGKILL"
    running.close()


def test_a_device_whose_process_died_is_told_its_past_and_goes_on(running: Running) -> None:
    ports = running.machine()
    access = m.MmioAccess((m.Access(m.AccessKind.READ, 5, 1),))
    ports["cpu"].send(access, SERIAL, 10)
    assert hear(ports["serial0"]) == access
    ports["serial0"].send(m.IrqLevel(True), CPU, 10)
    assert hear(ports["cpu"]) == m.IrqLevel(True)
    heir = running.heir("serial0")
    ports["serial0"].send(m.Done(7), CPU, 10)
    heir.send(m.Ready(from_seq=1), BROKER, 0)
    assert [hear(heir) for _ in range(3)] == [m.Reset(), access, m.Present()]
    for message, target, icount in ((m.Done(), BROKER, 0), (m.IrqLevel(True), CPU, 10), (m.Done(9), CPU, 10)):
        heir.queue(message, target, icount)
    heir.flush()
    # What the past has said the CPU has heard; the last word of the one that died nobody has.
    assert hear(ports["cpu"]) == m.Done(9)
    fail_on_purpose(ports["cpu"])
    running.end()


def test_a_device_that_says_something_else_than_its_predecessor_has_diverged(running: Running) -> None:
    ports = running.machine()
    access = m.MmioAccess((m.Access(m.AccessKind.READ, 5, 1),))
    ports["cpu"].send(access, SERIAL, 10)
    assert hear(ports["serial0"]) == access
    ports["serial0"].send(m.Done(7), CPU, 10)
    assert hear(ports["cpu"]) == m.Done(7)
    heir = running.heir("serial0")
    heir.send(m.Ready(from_seq=1), BROKER, 0)
    heir.queue(m.Done(), BROKER, 0)
    heir.send(m.Done(8), CPU, 10)
    status = running.end()
    assert status.state is m.RunState.DIVERGED
    assert "in serial0, done: expected value=7; actual value=8" in status.detail


def test_what_a_device_kept_its_state_behind_is_not_told_again(running: Running) -> None:
    ports = running.machine()
    access = m.MmioAccess((m.Access(m.AccessKind.READ, 5, 1),))
    seq = 0
    for icount in (10, 20):
        ports["cpu"].send(access, SERIAL, icount)
        frame = ports["serial0"].receive(PATIENCE_S)
        assert frame is not None
        seq = frame.seq
        ports["serial0"].queue(m.Checkpoint(seq), BROKER, icount)
        ports["serial0"].send(m.Done(7), CPU, icount)
        assert hear(ports["cpu"]) == m.Done(7)
    heir = running.heir("serial0")
    heir.send(m.Ready(from_seq=seq), BROKER, 0)
    assert [hear(heir) for _ in range(2)] == [access, m.Present()]
    fail_on_purpose(ports["cpu"])
    running.end()


def test_the_death_of_another_process_of_that_name_ends_nothing(running: Running) -> None:
    ports = running.machine()
    running.control.send(m.ProcessEnded("serial0", 1, "has been refused"), BROKER, 0)
    assert running.status().state is m.RunState.RUNNING
    fail_on_purpose(ports["cpu"])
    running.end()


def test_who_asks_for_the_nodes_is_told_of_each(running: Running) -> None:
    ports = running.machine()
    running.control.send(m.StatusRequest(nodes=True), BROKER, 0)
    status = hear(running.control)
    assert isinstance(status, m.Status)
    assert [node.name for node in status.nodes] == ["broker", "cpu", "serial0", "rtc0"]
    assert [node.state for node in status.nodes] == [m.NodeState.READY] * 4
    assert [node.messages > 0 for node in status.nodes[1:]] == [True, True, True]
    assert status.nodes[3].backend == "fixed:7"
    fail_on_purpose(ports["cpu"])
    running.end()
