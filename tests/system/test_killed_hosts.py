"""Processes of a machine on three hosts that are killed while it is recorded: it goes on, and it is one recording."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
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


def test_every_process_of_a_machine_on_three_hosts_may_be_killed() -> None:
    run_alone(every_process_is_killed, timeout_s=LONG_S)
