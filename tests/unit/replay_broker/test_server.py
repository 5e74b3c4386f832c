"""The broker's door: who is let in, who is not, and what strangers cannot do.  Real sockets, one thread each."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import zmq

from machine import message as m
from machine.codec import encode, encode_header
from machine.errors import MachineError
from machine.icount import BROKER, CPU
from replay_broker import barrier
from replay_broker.outcome import Outcome
from replay_broker.session.lasting import LastingSession
from tests.unit.replay_broker.serving import NAMES, PATIENCE_S, Running, be_welcomed, fail_on_purpose, hear
from tests.unit.replay_broker.stage import RTC, SERIAL, frame_of

if TYPE_CHECKING:
    from pathlib import Path

    from machine.frame import Frame


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


class OverAtOnce(LastingSession):
    """As the replay of a recording is in which nothing is said."""

    def start(self) -> None:
        """The run is over."""
        self.outcome = Outcome(m.RunState.ENDED)

    def handle(self, frame: Frame) -> None:
        """Nobody is to be heard any more."""
        raise MachineError(f"heard {frame}")


def test_a_run_that_is_over_as_it_begins_hears_no_word_that_is_there_already(tmp_path: Path) -> None:
    running = Running(tmp_path, session=OverAtOnce)
    try:
        ports = {name: running.node(name) for name in NAMES}
        for port in ports.values():
            be_welcomed(port)
        for name in NAMES[1:]:
            ports[name].send(m.Ready(), BROKER, 0)
        # In one piece, so that the second word is there when the first one is heard.
        ports["cpu"].queue(m.Ready(), BROKER, 0)
        ports["cpu"].queue(m.MmioAccess((m.Access(m.AccessKind.READ, 0, 1),)), SERIAL, 100)
        ports["cpu"].flush()
        status = running.end()
        assert (status.state, status.detail) == (m.RunState.ENDED, "")
    finally:
        running.close()


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
    monkeypatch.setattr(barrier, "HELLO_TIMEOUT_S", 0.0)
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


def test_a_host_that_refuses_the_broker_something_ends_the_run_and_not_the_broker(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    ports = running.machine()
    monkeypatch.setattr(running.ledger, "write_down", refuse)
    ports["cpu"].send(m.Sync(), BROKER, 20)
    status = running.end()
    assert (status.state, status.detail) == (m.RunState.FAILED, "[Errno 12] Cannot allocate memory")
    assert running.ledger.closed is False
