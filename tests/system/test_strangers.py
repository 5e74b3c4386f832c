"""Strangers at a running machine's door: refused, counted, and the recording is what it would have been."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import guest
from tests.harness.machine import ROOT, TIMEOUT_S, console, typed
from tests.harness.service import Service

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system

MESSAGES = 10_000
RATE = 5_000
MORE_KB = 64 << 10
"""What the broker may grow by: 100 MB of messages pass by it."""


def test_ten_thousand_messages_of_a_stranger_change_nothing(home: Home) -> None:
    machine = Service(home, "m")
    options = ("--kernel", guest("echo"), "--serial", "unix:s,server=on", "--record", "-o", "a.dejavm")
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as text:
        recording = machine.up("bare", *options, meanwhile=lambda: home.call(line, home.work / "s"))
        assert recording is not None
        assert text.readline() == b"READY\n"
        broker = machine.pids()["broker"]
        before = _resident_kb(broker)
        command = [sys.executable, "-P", "-m", "tests.harness.stranger", f"ipc://{machine.directory}/bus"]
        flood = subprocess.Popen([*command, str(MESSAGES), str(RATE)], cwd=ROOT, stdout=subprocess.PIPE)
        assert flood.stdout is not None
        lines = 0
        while flood.poll() is None:
            text.write(b"line %d\n" % lines)
            text.flush()
            assert text.readline() == b"LINE %d\n" % lines
            lines += 1
        flood.stdout.close()
        assert flood.returncode == 0
        found = machine.await_ps(lambda ps: ps["refused"] >= MESSAGES)
        assert found["state"] == "running"
        assert _resident_kb(broker) - before < MORE_KB
        text.write(b"\x04")
        text.flush()
        machine.await_state("ended")
    assert (machine.directory / "logs" / "broker.log").stat().st_size < 10_000
    machine.down()
    assert typed(recording) == b"".join(b"line %d\n" % n for n in range(lines)) + b"\x04"
    assert b"LINE 0\n" in console(recording)
    home.verify_both_ways(recording)


def test_a_second_process_that_claims_a_name_is_sent_away(home: Home) -> None:
    machine = Service(home, "m")
    machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    pid = machine.pids()["serial0"]
    command = [sys.executable, "-P", "-m", "devices", "--node", "serial0"]
    places = ["--board", str(machine.directory / "machine.toml"), "--broker", f"ipc://{machine.directory}/bus"]
    done = subprocess.run([*command, *places], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, f"node serial0 is already here, process {pid}" in done.stderr) == (1, True), done.stderr
    found = machine.ps()
    assert (found["state"], found["refused"], machine.pids()["serial0"]) == ("running", 1, pid)
    machine.down()


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
