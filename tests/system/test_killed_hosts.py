"""Processes of a machine on three hosts that are killed while it is recorded: it goes on, and it is one recording."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.far_service import NAME
from tests.harness.machine import typed
from tests.harness.net_namespace import run_alone
from tests.system.test_hosts import LONG_S, ask, echo_board, far_machine, hear

if TYPE_CHECKING:
    from tests.harness.far_service import FarService

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PLACES: Final = {"broker": "a", "cpu": "b", "serial0": "c", "rtc0": "c"}


def _kill(far: FarService, name: str) -> int:
    """Kill a process of the machine; its id."""
    (pid,) = (node["pid"] for node in far.ps()["nodes"] if node["name"] == name)
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def every_process_is_killed() -> None:
    """Each of them, each on another host than most others, the broker twice."""
    with far_machine(echo_board(), PLACES) as (home, network, far):
        only_a = home.work / "only-a"
        only_a.mkdir()
        for host in ("b", "c"):
            network.hosts[host].hide(only_a)
        with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb", buffering=0) as text:
            far.up(
                "--record", "-o", only_a / "a.dejavm", "--snapshot-every", "500ms",
                meanwhile=lambda: home.call(line, home.work / "s"),
            )  # fmt: skip
            line.settimeout(60.0)
            hear(text, b"READY")
            for number, name in enumerate(("broker", "serial0", "cpu", "broker", "rtc0")):
                ask(text, b"before %d" % number)
                _kill(far, name)
                ask(text, b"behind %d" % number)
            text.write(b"\x04")
            text.flush()
            assert far.await_ps(lambda ps: ps["state"] == "ended")["detail"] == ""
        far.down()
        recording = only_a / "a.dejavm"
        assert len(Recording.open(recording).facts.continued) == 2
        assert typed(recording).count(b"\n") == 10
        home.verify_both_ways(recording)


def a_host_dies_and_is_there_again() -> None:
    """Whatever runs on it, at once: nobody is left there who could say so."""
    with far_machine(echo_board(), PLACES | {"serial0": "a"}) as (home, _, far):
        recording = home.work / "a.dejavm"
        with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb", buffering=0) as text:
            far.up("--record", "-o", recording, meanwhile=lambda: home.call(line, home.work / "s"))
            line.settimeout(60.0)
            hear(text, b"READY")
            for pid in (far.directory("c") / "supervisord.pid").read_text().split():
                os.kill(int(pid), signal.SIGSTOP)
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
                os.kill(int(pid), signal.SIGKILL)
            far.await_ps(lambda ps: ps["waiting_for"].startswith("rtc0 ("))
            assert far.run("c", "down", NAME).exit_code == 0
            again = far.run("c", "up", far.board, "--host", "c", "--keys", far.keys, "--name", NAME)
            assert again.exit_code == 0, again.stderr
            found = far.await_ps(lambda ps: ps["waiting_for"] == "")
            assert {node["name"]: node["state"] for node in found["nodes"]}["rtc0"] == "ready"
            assert found["refused"] == 0
            ask(text, b"still there")
            text.write(b"\x04")
            text.flush()
            far.await_ps(lambda ps: ps["state"] == "ended")
        far.down()
        home.verify_both_ways(recording)


def test_a_host_may_die_with_all_its_processes_and_come_back() -> None:
    run_alone(a_host_dies_and_is_there_again, timeout_s=LONG_S)


def test_every_process_of_a_machine_on_three_hosts_may_be_killed() -> None:
    run_alone(every_process_is_killed, timeout_s=LONG_S)
