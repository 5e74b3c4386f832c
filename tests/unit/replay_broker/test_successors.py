"""Processes that come in the place of others, as the broker's sockets see it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import BROKER, CPU
from tests.unit.replay_broker.serving import NAMES, PATIENCE_S, Running, be_welcomed, begin, fail_on_purpose, hear
from tests.unit.replay_broker.stage import SERIAL

if TYPE_CHECKING:
    from pathlib import Path

    from machine.port import Port


def test_a_process_whose_end_has_been_noticed_gets_its_last_word_at_once(tmp_path: Path) -> None:
    running = Running(tmp_path, rebuild=False)
    with subprocess.Popen(["sleep", "600"]) as process:
        running.machine(serial_pid=process.pid)
        process.kill()
        while not running.server.rebuilder.losses.is_lost(SERIAL):
            assert running.status().state is m.RunState.RUNNING
    running.control.send(m.ProcessEnded("serial0", process.pid, "was killed by SIGKILL"), BROKER, 0)
    assert running.end().detail == f"serial0, process {process.pid}, was killed by SIGKILL"
    running.close()


def ready_and_dead(running: Running, name: str, *said: m.Message) -> dict[str, Port]:
    """Everybody has come; the one of that name, a process of this host, was ready, has said that, and has died."""
    ports = {other: running.node(other) for other in NAMES if other != name}
    with subprocess.Popen(["sleep", "600"]) as process:
        ports[name] = running.node(name, pid=process.pid, host="")
        for port in ports.values():
            be_welcomed(port)
        for message in (m.Ready(), *said):
            ports[name].send(message, BROKER, 0)
        while running.node_states()[name] is not m.NodeState.READY:
            pass
        process.kill()
    while running.node_states()[name] is not m.NodeState.MISSING:
        pass
    return ports


def test_a_run_does_not_begin_with_a_process_that_was_ready_and_has_died(running: Running) -> None:
    ports = ready_and_dead(running, "serial0")
    for name in ("cpu", "rtc0"):
        ports[name].send(m.Ready(), BROKER, 0)
    while running.node_states()["rtc0"] is not m.NodeState.READY:
        pass
    assert running.status().state is m.RunState.STARTING
    heir = running.node("serial0")
    assert hear(heir) == m.Welcome(SERIAL, m.RunMode.RECORD, "memory")
    heir.send(m.Ready(), BROKER, 0)
    while (state := running.status().state) is m.RunState.STARTING:
        pass
    assert state is m.RunState.RUNNING
    fail_on_purpose(ports["cpu"])
    running.end()


def test_why_a_process_failed_is_told_though_its_end_was_noticed_first(running: Running) -> None:
    cpu = running.door()
    with subprocess.Popen(["sleep", "600"]) as process:
        cpu.send(m.Hello(m.WIRE_VERSION, "cpu", process.pid, "memory"), BROKER, 0)
        assert isinstance(hear(cpu), m.Welcome)
        process.kill()
    while running.node_states()["cpu"] is not m.NodeState.MISSING:
        pass
    # Others come meanwhile, as they do at every start.
    assert isinstance(hear(running.node("serial0")), m.Welcome)
    cpu.queue(m.Sync(), BROKER, 0)
    cpu.send(m.Fault(m.FaultCode.SETUP, "a damaged ELF file"), BROKER, 0)
    status = running.end()
    assert (status.state, status.detail) == (m.RunState.FAILED, "cpu: a damaged ELF file")


def test_why_a_process_failed_ends_a_recording_that_already_waits_for_another(running: Running) -> None:
    ports = running.machine()
    running.control.send(m.ProcessEnded("serial0", 4711, "ended with exit code 1"), BROKER, 0)
    while running.node_states()["serial0"] is not m.NodeState.MISSING:
        pass
    ports["serial0"].send(m.Done(), BROKER, 0)
    ports["serial0"].send(m.Fault(m.FaultCode.INTERNAL, "the disk is full"), BROKER, 0)
    status = running.end()
    assert (status.state, status.detail) == (m.RunState.FAILED, "serial0: the disk is full")


def test_what_a_process_said_before_a_run_that_it_did_not_live_to_see_is_forgotten(running: Running) -> None:
    ports = ready_and_dead(running, "cpu", m.Sync())
    ports["cpu"] = running.node("cpu")
    be_welcomed(ports["cpu"])
    begin(ports)
    assert running.status().state is m.RunState.RUNNING
    fail_on_purpose(ports["cpu"])
    running.end()


def expect_another(running: Running, cpu: Port, dead: int) -> None:
    """Behind a successor that has died another is told the past, and the run goes on."""
    second = running.heir("serial0", dead=dead, pid=4713)
    second.send(m.Ready(from_seq=1), BROKER, 0)
    assert [hear(second) for _ in range(2)] == [m.Reset(), m.Present()]
    fail_on_purpose(cpu)
    running.end()


def test_a_successor_of_another_host_may_die_before_it_is_as_far(running: Running) -> None:
    ports = running.machine()
    running.heir("serial0", pid=4712)
    expect_another(running, ports["cpu"], dead=4712)


def test_a_successor_that_is_gone_when_its_hello_is_read_is_succeeded(running: Running) -> None:
    ports = running.machine()
    with subprocess.Popen(["true"]) as process:
        process.wait()
    running.heir("serial0", pid=process.pid, host="")
    expect_another(running, ports["cpu"], dead=1)


def test_a_process_number_that_no_process_can_have_harms_nobody(running: Running) -> None:
    cpu = running.node("cpu", pid=(1 << 32) - 1, host="")
    assert isinstance(hear(cpu), m.Welcome)
    assert running.status().state is m.RunState.STARTING


def test_a_node_that_is_ready_twice_ends_the_run_and_not_the_broker(running: Running) -> None:
    ports = running.machine()
    ports["serial0"].send(m.Ready(from_seq=1), BROKER, 0)
    assert running.end().detail == "serial0 is ready again"


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
