"""Machines as services: real supervisord, real supervisorctl, and nothing left when they are down."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.supervision import ending
from deploy.supervision.configuration import LISTENER
from deploy.supervision.example import BOARD, example_configuration
from deploy.supervision.place import ServicePlaces
from deploy.supervision.report import ask
from machine.board import render_board
from machine.message import RunState
from tests.harness.guests import guest
from tests.harness.killing import await_said
from tests.harness.lines import await_text
from tests.harness.machine import TIMEOUT_S, final_digest
from tests.harness.monitor import Qmp, connect
from tests.harness.service import Service, scrape

if TYPE_CHECKING:
    from tests.harness.machine import Home

REBUILT_S = 60.0
MOST_WAKE_UPS = 200
"""Of a listener that looks twice a second; each may be several."""
pytestmark = pytest.mark.system


def test_two_machines_side_by_side_are_seen_recorded_and_gone_again(home: Home) -> None:
    one, two = Service(home, "one"), Service(home, "two")
    recording = one.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--record", "-o", "a.dejavm")
    two.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    again = home.run("up", "bare", "--kernel", guest("echo"), "--serial", "null", "--name", "one")
    assert (again.exit_code, again.complaint) == (
        2, "dejavm: a machine one is up already; end it with: dejavm down one, or give another --name",
    )  # fmt: skip
    assert one.supervisorctl() == dict.fromkeys(("broker", "cpu", "serial0", "rtc0", "listener"), "RUNNING")
    assert stat.S_IMODE(one.directory.stat().st_mode) == 0o700
    machine = one.ps()
    assert (machine["state"], machine["mode"], machine["board"]) == ("running", "record", "bare")
    assert {node["name"]: node["pid"] for node in machine["nodes"]} == one.pids()
    assert [node["backend"] for node in machine["nodes"]] == ["", "", "ringbuf", "host"]
    assert "serial0" in home.run("ps").stdout
    assert wake_ups(one) < MOST_WAKE_UPS
    down = one.down()
    assert (down.stdout, "no part of this machine has a power button" in down.stderr) == ("one is down: ended\n", True)
    assert two.ps()["state"] == "running"
    two.down()
    assert recording is not None
    home.verify_both_ways(recording)


def wake_ups(machine: Service) -> int:
    """How often the listener has been woken in two seconds; how busy the host is makes it fewer."""
    pid = machine.ask_supervisor("pid", LISTENER).strip()

    def so_far() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("nonvoluntary_ctxt_switches")[0].split("voluntary_ctxt_switches:")[1])

    before, until_s = so_far(), time.monotonic() + 2
    machine.await_ps(lambda _: time.monotonic() >= until_s)
    return so_far() - before


def test_every_process_serves_its_metrics_while_the_guest_computes_sleeps_and_talks(home: Home) -> None:
    machine = Service(home, "m")
    options = ("--kernel", guest("echo"), "--serial", "unix:s,server=on", "--metrics")
    snapshots = ("--record", "-o", "a.dejavm", "--snapshot-every", "100ms")
    pages: dict[str, dict[tuple[str, str], float]] = {}
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as text:
        recording = machine.up("bare", *options, *snapshots, meanwhile=lambda: home.call(line, home.work / "s"))
        assert text.readline() == b"READY\n"
        addresses = {node["name"]: node["metrics"] for node in machine.ps()["nodes"]}
        assert len(set(addresses.values())) == 4
        said = b""
        while said.count(b"\n") < 30 or not pages["broker"]["dejavm_snapshots_total", "taken"]:
            number = said.count(b"\n")
            said += b"line %d\n" % number
            text.write(b"line %d\n" % number)
            text.flush()
            assert text.readline() == b"LINE %d\n" % number
            pages = {name: scrape(address) for name, address in addresses.items()}
        text.write(b"\x04")
        text.flush()
        machine.await_state("ended")
    assert pages["cpu"]["dejavm_icount_total", ""] > 10_000
    assert pages["serial0"]["dejavm_backend_bytes_total", "in"] == len(said)
    assert pages["broker"]["dejavm_stamped_messages_total", ""] > 100
    broker = pages["broker"]
    assert broker["dejavm_refused_total", ""] == broker["dejavm_snapshots_total", "failed"] == 0
    assert broker["dejavm_run_state", "running"] == 1
    assert 0 < broker["dejavm_pause_seconds_total", "snapshot"] < TIMEOUT_S
    assert broker["dejavm_inputs_total", ""] > 30
    assert {("dejavm_mips", ""), ("dejavm_queue_length", "serial0")} <= broker.keys()
    for page in pages.values():
        assert page["process_resident_memory_bytes", ""] > 1 << 20
        assert ("dejavm_icount_total", "") in page
    machine.down()
    assert recording is not None
    home.verify_both_ways(recording)


def test_a_device_that_is_killed_while_it_is_recorded_comes_back(home: Home) -> None:
    machine = Service(home, "m")
    recording = machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--record", "-o", "a.dejavm")
    pid = machine.pids()["serial0"]
    os.kill(pid, signal.SIGKILL)
    machine.await_ps(lambda ps: next(n["pid"] for n in ps["nodes"] if n["name"] == "serial0") not in (0, pid))
    assert "was killed by SIGKILL" in home.run("logs", "--name", "m", "listener").stdout
    deadline = time.monotonic() + REBUILT_S
    while "stands in for it" not in home.run("logs", "--name", "m", "broker").stdout:
        assert time.monotonic() < deadline, home.run("logs", "--name", "m").stdout
    assert next(n["pid"] for n in machine.ps()["nodes"] if n["name"] == "serial0") != pid
    machine.down()
    assert recording is not None
    home.verify_both_ways(recording)


def test_a_device_that_is_killed_without_a_recording_ends_the_machine(home: Home) -> None:
    machine = Service(home, "m")
    machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    pid = machine.pids()["serial0"]
    os.kill(pid, signal.SIGKILL)
    detail = machine.await_state("failed")["detail"]
    assert detail.startswith("serial0")
    assert machine.down(exit_code=1).complaint == f"dejavm: m: {detail}"


def test_a_killed_broker_ends_the_machine(home: Home) -> None:
    machine = Service(home, "m")
    machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    os.kill(machine.pids()["broker"], signal.SIGKILL)
    assert machine.await_state("failed")["detail"] == "the broker was killed by SIGKILL"
    machine.down(exit_code=1)


def test_when_its_supervisor_is_killed_nobody_stays_behind(home: Home) -> None:
    machine = Service(home, "m")
    recording = machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--record", "-o", "a.dejavm")
    os.kill(int((machine.directory / "supervisord.pid").read_text()), signal.SIGKILL)
    assert machine.ps()["detail"] == "its supervisor has gone; clear it away with: dejavm down m"
    machine.down()
    assert home.left_behind() == []
    assert recording is not None
    home.verify(recording)


def test_a_listener_that_is_killed_comes_back_and_hears_what_happens_then(home: Home) -> None:
    machine = Service(home, "m")
    machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    broker = machine.pids()["broker"]
    before = int(machine.ask_supervisor("pid", LISTENER))
    # Both at once: nobody is there to hear of the broker's end.
    os.kill(before, signal.SIGKILL)
    os.kill(broker, signal.SIGKILL)
    assert machine.await_state("failed")["detail"] == "the broker was killed by SIGKILL"
    assert int(machine.ask_supervisor("pid", LISTENER)) not in (0, before)
    machine.down(exit_code=1)


def test_a_machine_that_is_being_taken_back_when_its_listener_is_killed_comes_back_too(home: Home) -> None:
    machine = Service(home, "m")
    recording = machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--record", "-o", "a.dejavm")
    assert recording is not None
    await_said(recording, b"READY")
    listener, pids = int(machine.ask_supervisor("pid", LISTENER)), machine.pids()
    broker = pids["broker"]
    # Who does not leave holds up the others.
    os.kill(pids["rtc0"], signal.SIGSTOP)
    os.kill(broker, signal.SIGKILL)
    machine.await_state("returning")
    os.kill(listener, signal.SIGKILL)
    os.kill(pids["rtc0"], signal.SIGCONT)
    assert machine.await_state("running")
    assert machine.pids()["broker"] != broker
    assert machine.down().stdout == "m is down: ended\n"
    home.verify_both_ways(recording)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_that_is_interrupted_leaves_nothing(home: Home, number: signal.Signals) -> None:
    # The line is waited for, so the guest cannot run yet.
    starting = home.start("up", "bare", "--kernel", guest("echo"), "--serial", "unix:s,server=on", "--name", "m")
    directory = Service(home, "m").directory
    home.await_path(
        {signal.SIGINT: directory, signal.SIGTERM: directory / "logs" / "supervisord.log"}.get(number, home.work / "s")
    )
    starting.signal(number)
    done = starting.finish()
    complaint = "dejavm: m: interrupted before its guest ran; nothing of it is left"
    assert (done.exit_code, done.complaint) == (-signal.SIGINT, complaint)
    assert home.left_behind() == []


def test_up_says_for_whom_it_waits_while_it_waits_and_so_does_ps(home: Home) -> None:
    machine = Service(home, "m")
    starting = home.start("up", "bare", "--kernel", guest("echo"), "--serial", "unix:s,server=on", "--name", "m")
    assert starting.process.stderr is not None
    said = [starting.process.stderr.readline() for _ in range(2)]
    assert said == [
        b"serial0: listening on unix:s\n", b"serial0: waits for a client on unix:s; connect one, or say wait=off\n",
    ]  # fmt: skip
    waiting = machine.await_ps(lambda ps: ps["waiting_for"].startswith("serial0 ("))
    assert (waiting["state"], waiting["nodes"][2]["state"]) == ("starting", "starting")
    assert "waits for a client" in home.run("logs", "serial0").stdout
    with socket.socket(socket.AF_UNIX) as line:
        home.call(line, home.work / "s")
        done = starting.finish()
        assert (done.exit_code, done.stdout, done.stderr) == (0, "m is up: 4 processes\n", "")
        assert machine.ps()["waiting_for"] == ""
    machine.down()


def test_up_waits_no_longer_than_it_is_told_and_leaves_nothing(home: Home) -> None:
    words = ("--kernel", guest("echo"), "--serial", "unix:s,server=on", "--record", "-o", "a.dejavm", "--wait", "3")
    done = home.run("up", "bare", *words)
    assert done.exit_code == 1
    # On a busy host it may not even have come.
    assert re.fullmatch(r"dejavm: bare: not (ready|here) after 3 s: .*serial0.*", done.complaint)
    assert not (home.work / "a.dejavm").exists()
    assert home.left_behind() == []


def test_down_twice_and_at_once_with_up_leaves_nothing(home: Home) -> None:
    up = home.start("up", "bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--name", "m")
    home.await_path(Service(home, "m").directory / "supervisord.conf")
    downs = [home.start("down", "m", "--timeout", "0") for _ in range(2)]
    ends = [running.finish() for running in (up, *downs)]
    assert all("Traceback" not in end.stderr for end in ends), ends
    assert home.left_behind() == []


def test_a_guest_that_switches_off_leaves_its_end_to_be_read(home: Home) -> None:
    machine = Service(home, "m")
    recording = machine.up("bare", "--kernel", guest("counters"), "--serial", "file:out", "--record", "-o", "a.dejavm")
    found = machine.await_state("ended")
    assert found["icount"] > 1000
    assert recording is not None
    assert home.verify(recording) == final_digest(recording)
    assert machine.down().stdout == "m is down: ended\n"


def test_what_cannot_start_says_why_and_leaves_nothing(home: Home) -> None:
    for serial, says in (("stdio", "serial0: stdio is the terminal"), ("file:/no/such/place", "/no/such/place")):
        done = home.run("up", "bare", "--kernel", guest("echo"), "--serial", serial, "--name", "m")
        assert (done.exit_code, says in done.complaint) == (2, True), done.stderr
    assert home.left_behind() == []
    assert home.run("down").exit_code == 2


def test_the_example_runs_and_supervisor_s_own_stop_ends_it_in_order(home: Home) -> None:
    places = ServicePlaces(home.work / "example")
    places.logs.mkdir(parents=True)
    shutil.copy(guest("echo"), places.directory / "guest.bin")
    slots = tuple(replace(slot, backend="ringbuf") if slot.kind == "serial" else slot for slot in BOARD.devices)
    board = replace(BOARD, kernel=str(places.directory / "guest.bin"), devices=slots)
    places.machine.write_text(render_board(board))
    places.configuration.write_text(example_configuration(sys.executable, str(places.directory)))
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "--nodaemon", "--configuration"]
    # And again, as `systemctl restart` does, in the directory of the first run.
    for times in (1, 2):
        started = home.start_argv([*command, str(places.configuration)])
        try:
            home.await_path(places.pid_file)
            while (status := ask(places)) is None or status.state is not RunState.RUNNING:
                assert started.process.poll() is None
        finally:
            started.signal(signal.SIGTERM)
            started.finish()
        log = (places.logs / "supervisord.log").read_text()
        assert log.count("stopped: broker (exit status 0)") == times, log
        assert "exited: listener" not in log, log


def test_ps_does_not_wait_for_a_supervisor_that_is_stopped(home: Home) -> None:
    machine = Service(home, "m")
    machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf")
    supervisor = ServicePlaces(machine.directory).supervisor_pid()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGSTOP)
    try:
        assert machine.ps()["state"] == "running"
    finally:
        os.kill(supervisor, signal.SIGCONT)
    machine.down()


def test_a_machine_whose_cpu_hangs_is_cut_short_and_nothing_of_it_is_left(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Service(home, "m")
    recording = machine.up("bare", "--kernel", guest("echo"), "--serial", "ringbuf", "--record", "-o", "a.dejavm")
    os.kill(machine.pids()["cpu"], signal.SIGSTOP)
    said: list[str] = []
    monkeypatch.setattr(ending, "QUIT_S", 1.0)
    assert ending.end_machine(ServicePlaces(machine.directory), 0.0, said.append).state == ending.CUT_SHORT
    assert said == ["m: the run has not ended within 1 s; its processes are ended as they are"]
    assert not home.left_behind()
    assert recording is not None
    home.verify_both_ways(recording)


@pytest.mark.debian
@pytest.mark.parametrize("holder", ["paused", "debug"])
def test_a_debian_guest_is_switched_off_by_its_power_key_though_it_is_held(home: Home, holder: str) -> None:
    machine = Service(home, "m")
    options = ("--serial", "unix:s,server=on,wait=off", "--input", "kbd", "--record", "-o", "a.dejavm")
    recording = machine.up("debian", *options, "--gdb", "unix:g")
    with socket.socket(socket.AF_UNIX) as line, ExitStack() as holds:
        line.settimeout(TIMEOUT_S)
        line.connect(str(home.work / "s"))
        await_text(line, b"/ # ")
        line.sendall(b"until [ -e /run/acpid.pid ]; do :; done; echo HEE''DED\n")
        await_text(line, b"HEEDED")
        if holder == "paused":
            holds.enter_context(Qmp(home, machine.directory / "qmp")).execute("stop")
        else:
            gdb = holds.enter_context(connect(home.work / "g"))
            gdb.sendall(b"$?#3f")
            await_text(gdb, b"$T")
        assert machine.ps()["state"] == holder
        assert machine.down("--timeout", "60").stdout == "m is down: the guest has switched off\n"
    assert recording is not None
    assert home.verify(recording) == final_digest(recording)
