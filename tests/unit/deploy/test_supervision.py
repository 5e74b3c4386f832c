"""A machine as a service, the parts that need no process: configuration, events, diagnostics, the table of `ps`."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.loggers import LevelsByName, LogRecord, RotatingFileHandler

from deploy.plan import Launch, Places, plan_processes
from deploy.supervision import daemon, ending, starting
from deploy.supervision.configuration import Service, render
from deploy.supervision.diagnostics import Stream
from deploy.supervision.example import BOARD, FOLDER, example_configuration
from deploy.supervision.listener import Event, EventStream, forget_earlier, manner_logged
from deploy.supervision.place import ServicePlaces
from deploy.supervision.processes import ServiceOptions, plan_service
from deploy.supervision.remains import remains
from deploy.supervision.report import Facts, Report, lines, plain, write_facts
from machine.board import parse_board
from machine.errors import UsageError
from machine.keys import KeyRing
from machine.message import NodeState, NodeStatus, PowerOffReason, RunMode, RunState, Status

LAUNCH = Launch(BOARD, RunMode.RECORD, Path("/rec/50% of a.dejavm"))


def parsed(text: str, here: str = "/run/m") -> configparser.RawConfigParser:
    """A configuration as supervisor reads it: inline comments, %(here)s."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=True)
    parser.read_string(text.replace("%(here)s", here).replace("%%", "%"))
    return parser


def test_every_process_is_a_program_of_its_node_s_name_with_its_command_line() -> None:
    plans = plan_service(LAUNCH, ServiceOptions(metrics=9000))
    parser = parsed(render(Service("m", plans, "/srv/here")))
    for number, plan in enumerate(plan_processes(LAUNCH, Places(Path("/run/m")))):
        section = parser[f"program:{plan.name}"]
        words = shlex.split(section["command"])
        assert words[: len(plan.argv)] == list(plan.argv)
        assert words[-2:] == ["--metrics", str(9000 + number)]
        assert section["exitcodes"] == "0"
        assert section["autorestart"] == ("false" if plan.name == "broker" else "unexpected")
    assert parser["unix_http_server"]["file"] == "/run/m/supervisor.sock"


@pytest.mark.parametrize(("keys", "why"), [(True, "the broker does not answer"), (False, "cannot be asked")])
def test_down_says_where_it_cannot_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keys: bool, why: str
) -> None:
    places = ServicePlaces(tmp_path / "runs" / "m")
    places.directory.mkdir(parents=True)
    monkeypatch.setattr(ServicePlaces, "supervisor_pid", lambda _: os.getpid())
    if keys:
        for name in ("broker", "operator"):
            KeyRing(tmp_path).make(name)
    # Nobody listens at a port that is bound only.
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        control = f"127.0.0.1:{nobody.getsockname()[1]}"
        write_facts(places, Facts("bare", "record", "", "b", 0, ("cpu",), control, str(tmp_path)))
        monkeypatch.setattr(ending, "ANSWER_S", 0.2)
        monkeypatch.setattr(daemon, "end", lambda *_: None)
        said: list[str] = []
        assert ending.end_machine(places, 20.0, said.append) == ending.Ended(ending.CUT_SHORT, "", 0, powered_off=False)
    (line,) = said
    assert line.startswith("m: the broker ")
    assert why in line
    assert "only what is on this host is ended" in line
    assert not places.directory.exists()


@pytest.mark.parametrize(
    ("reason", "code", "told"),
    [
        (PowerOffReason.SHUTDOWN, 0, ""),
        (PowerOffReason.FAILURE, 1, "the guest switched off and said that it had failed"),
    ],
)
def test_what_the_guest_says_of_its_end_is_what_up_ps_and_down_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: PowerOffReason, code: int, told: str
) -> None:
    places = ServicePlaces(tmp_path / "runs" / "m")
    places.directory.mkdir(parents=True)
    end = {"state": "ENDED", "detail": "", "power_off_reason": int(reason), "exits": {}, "complete": True, "icount": 5}
    places.end.write_text(json.dumps(end))
    assert starting._judge(end) == (code, told)
    shown = Report("m", Facts("bare", "record", "", "", 0, ()), None, end, ())
    assert shown.detail == told
    assert lines(shown) == ["m: ended board bare, record, after 5 instructions" + (f" ({told})" if told else "")]
    monkeypatch.setattr(daemon, "end", lambda *_: None)
    assert ending.end_machine(places, 20.0, print) == ending.Ended("ENDED", told, code, powered_off=False)


def test_a_host_that_was_not_asked_to_record_says_what_the_broker_does() -> None:
    facts = Facts("far", "none", "", "b", 0, ("cpu",))
    shown = Report("far", facts, Status(RunState.RUNNING, mode=RunMode.RECORD), None, ())
    assert plain(shown)["mode"] == "record"
    assert "board far, record, 0 messages" in lines(shown)[0]


@pytest.mark.parametrize("directory", ["/srv/q%(here)s", "/srv/uu ", " /srv"])
def test_a_directory_that_supervisor_would_take_for_another_is_refused(directory: str) -> None:
    with pytest.raises(UsageError, match="supervisor's configuration cannot hold this directory"):
        render(Service("m", plan_service(LAUNCH, ServiceOptions()), directory))


def test_a_process_number_that_is_another_s_by_now_is_left_alone(tmp_path: Path) -> None:
    places = ServicePlaces(tmp_path)
    environment = {**os.environ, "DEJAVM_RUN_DIRECTORY": str(tmp_path)}
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as left,
    ):
        for process, supervisor in ((other, None), (left, left.pid)):
            # Its environment is to be seen when it runs, not yet when Popen is back.
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"there\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"there\n"
            places.pid_file.write_text(str(process.pid))
            assert places.supervisor_pid() == supervisor
        assert remains(tmp_path) == [left.pid]
        daemon.end(places)
        assert (other.poll(), left.wait()) == (None, -signal.SIGTERM)
        other.communicate(b"")


INTERRUPTED = """
import os, signal
from deploy.host_signals import deaf, dying_as_interrupt, held_back

before = signal.getsignal(signal.SIGHUP)
heard = False
with dying_as_interrupt(), held_back() as let_come:
    os.kill(os.getpid(), signal.SIGHUP)
    waited = True
    try:
        let_come()
    except KeyboardInterrupt:
        heard = True
    with deaf():
        os.kill(os.getpid(), signal.SIGTERM)
assert waited and heard
assert signal.getsignal(signal.SIGHUP) == before
"""
"""Not in this process: one of its threads, which holds nothing back, would take the signal."""


def test_interrupted_while_it_waits_a_signal_is_heard_when_it_is_let_come() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("char", [";", "#", '"', "\n"])
def test_what_supervisor_would_misread_is_refused(char: str) -> None:
    plans = plan_service(Launch(BOARD, RunMode.RECORD, Path(f"/rec/a {char}b")), ServiceOptions())
    with pytest.raises(UsageError, match="cannot hold"):
        render(Service("m", plans, "/"))


@pytest.mark.parametrize("name", ["listener", "supervisord"])
def test_a_device_is_not_named_as_the_service_s_own_processes(name: str) -> None:
    board = replace(BOARD, devices=(replace(BOARD.devices[0], name=name),))
    with pytest.raises(UsageError, match=rf"device\.{name}\.name: a service has a process of that name itself"):
        render(Service("m", plan_service(Launch(board, RunMode.NONE), ServiceOptions()), "/"))


def test_the_example_is_what_the_code_writes() -> None:
    assert (FOLDER / "supervisord.conf").read_text() == example_configuration(), "python -m deploy.supervision.example"
    assert parse_board((FOLDER / "machine.toml").read_text(), "example") == BOARD


def test_the_unit_starts_the_example_and_stops_it_in_order() -> None:
    unit = configparser.RawConfigParser(strict=True, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read_string((FOLDER / "dejavm-example.service").read_text())
    start = shlex.split(unit["Service"]["ExecStart"])
    assert Path(start[0]).name == "supervisord"
    assert Path(start[start.index("--configuration") + 1]).name == "supervisord.conf"
    assert (unit["Service"]["KillMode"], unit["Service"]["KillSignal"]) == ("mixed", "SIGTERM")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (FOLDER / "dejavm-example.service").read_text()
    here = tmp_path / "dejavm-example.service"
    # It looks whether the program is there, and says what it does not understand without an exit code.
    here.write_text(text.replace("/usr/lib/dejavm/bin", str(Path(sys.executable).parent)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout + done.stderr == ""


def test_what_supervisor_says_of_a_death_is_said_in_our_words() -> None:
    log = "a exited: cpu (exit status 0; expected)\nb exited: serial0 (terminated by SIGKILL (core); not expected)\n"
    assert manner_logged(log, "serial0") == "was killed by SIGKILL"
    assert manner_logged("x exited: nic0 (exit status 2; not expected)", "nic0") == "ended with exit code 2"
    assert manner_logged(log, "rtc0") == "ended unexpectedly"


@pytest.mark.parametrize("behind_ns", [-1, 1])
def test_the_last_word_of_another_run_is_forgotten_wherever_the_host_s_clock_was_set(
    tmp_path: Path, behind_ns: int
) -> None:
    places, end_ns = ServicePlaces(tmp_path), 1 << 60
    places.pid_file.touch()
    for started_ns, kept in ((end_ns + behind_ns, True), (end_ns + 2 * behind_ns, False)):
        places.end.write_text(json.dumps({"state": "ENDED", "started_ns": end_ns + behind_ns}))
        os.utime(places.end, ns=(end_ns, end_ns))
        os.utime(places.pid_file, ns=(started_ns, started_ns))
        forget_earlier(places)
        assert places.end.exists() == kept
    places.end.write_text("[]")
    forget_earlier(places)
    assert not places.end.exists()


@given(cuts=st.lists(st.integers(1, 300), max_size=8))
def test_events_are_taken_however_they_are_cut(cuts: list[int]) -> None:
    payload = b"processname:serial0 groupname:serial0 from_state:RUNNING expected:0 pid:77"
    event = b"ver:3.0 server:m eventname:PROCESS_STATE_EXITED len:%d\n%s" % (len(payload), payload)
    data, found = event * 3, []
    source, write = os.pipe()
    read, sink = os.pipe()
    stream = EventStream(source, sink)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        if data[start:end]:
            os.write(write, data[start:end])
            found += list(stream.take())
    assert found == [Event("PROCESS_STATE_EXITED", "serial0", 77, False)] * 3
    assert os.read(read, 4096) == b"READY\n" + b"RESULT 2\nOKREADY\n" * 3
    for descriptor in (source, write, read, sink):
        os.close(descriptor)


def test_diagnostics_of_many_processes_are_in_the_order_of_their_time(tmp_path: Path) -> None:
    (tmp_path / "cpu.log").write_text(
        "2026-01-01T00:00:01.000Z cpu 100: one\nTraceback\n2026-01-01T00:00:03.000Z cpu 300: three\n2026-"
    )
    (tmp_path / "nic0.log").write_text("2026-01-01T00:00:02.000Z nic0 150: two\n")
    (tmp_path / "supervisord.log").write_text("no node's\n")
    stream = Stream(tmp_path)
    assert [(line.node, line.icount, line.text) for line in stream.take()] == [
        ("cpu", "100", "one"), ("cpu", "100", "Traceback"), ("nic0", "150", "two"), ("cpu", "300", "three"),
    ]  # fmt: skip
    with (tmp_path / "cpu.log").open("a") as file:
        file.write("01-01T00:00:04.000Z cpu 400: four\n")
    (tmp_path / "late.log").write_text("2026-01-01T00:00:05.000Z late 1: five\n")
    assert [line.text for line in stream.take(to_the_end=True)] == ["four", "five"]
    assert [line.node for line in Stream(tmp_path, "nic0").take(to_the_end=True)] == ["nic0"]


def test_no_line_is_lost_when_supervisor_begins_a_new_file(tmp_path: Path) -> None:
    handler = RotatingFileHandler(str(tmp_path / "cpu.log"), maxBytes=200, backupCount=1)
    handler.setFormat("%(message)s")
    said, heard, follower = 0, [], Stream(tmp_path, "cpu")
    for batch in (1, 5, 1, 5, 0):
        for _ in range(batch):
            said += 1
            handler.emit(LogRecord(LevelsByName.INFO, f"2026-01-01T00:00:01.000Z cpu {said}: line\n"))
        heard += [line.icount for line in follower.take(to_the_end=not batch)]
    # Who looks only now has what was put aside, too.
    late = [line.icount for line in Stream(tmp_path, "cpu").take(to_the_end=True)]
    handler.close()
    assert (tmp_path / "cpu.log.1").exists()
    assert heard == [str(number) for number in range(1, said + 1)]
    assert late == heard[-len(late) :]
    assert len(late) > 5


def test_every_line_says_who_and_where_also_what_nobody_has_stamped(tmp_path: Path) -> None:
    (tmp_path / "nic0.log").write_text("No module named nic\nnic0: listening\nhalf a li")
    (tmp_path / "supervisord.log").write_text("2026-01-01 00:00:02,345 INFO spawned: 'cpu' with pid 7\nmore\n")
    lines = Stream(tmp_path).take(to_the_end=True)
    assert [(line.node, line.icount, line.text) for line in lines] == [
        ("nic0", "-", "No module named nic"), ("nic0", "-", "listening"), ("nic0", "-", "half a li"),
    ]  # fmt: skip
    own = Stream(tmp_path, "supervisord").take(to_the_end=True)
    assert [(line.node, line.icount, line.text) for line in own] == [
        ("supervisord", "-", "INFO spawned: 'cpu' with pid 7"), ("supervisord", "-", "more"),
    ]  # fmt: skip
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.time) for line in (*lines, *own))
    assert own[0].time.endswith(":02.345Z")


def test_what_is_said_before_anything_with_a_stamp_comes_before_it(tmp_path: Path) -> None:
    stamped = "2026-01-01T00:00:01.000Z nic0 0: waits for a client"
    (tmp_path / "nic0.log").write_text(f"nic0: listening\nnic0: on two sockets\n{stamped}\n")
    (tmp_path / "cpu.log").write_text("2026-01-01T00:00:02.000Z cpu 100: later\n")
    lines = Stream(tmp_path).take(to_the_end=True)
    assert [line.text for line in lines] == ["listening", "on two sockets", "waits for a client", "later"]
    assert {line.time for line in lines[:3]} == {"2026-01-01T00:00:01.000Z"}


def test_the_table_says_of_each_process_what_is_known() -> None:
    nodes = (
        NodeStatus("broker", NodeState.READY, "here", 1, waiting=2),
        NodeStatus("cpu", NodeState.READY, "here", 2, 90, 9),
        NodeStatus("nic0", NodeState.AWAITED, "there", 3, 5, 1, 2, "user"),
    )
    status = Status(
        RunState.RUNNING, 1_234_567, messages=99, messages_per_s=7, refused=3, icount_per_s=50_000_000,
        waiting_for="nic0 (12 s)", nodes=nodes,
    )  # fmt: skip
    facts = Facts("debian", "record", "/r.dejavm", "here", 0, ("broker", "cpu", "nic0"))
    headline, _, _, cpu, nic = lines(Report("m", facts, status, None, ()))
    assert " running, waiting for nic0 (12 s), " in headline
    assert "(3 refused)" in headline
    assert cpu.split() == ["cpu", "ready", "here", "2", "1,234,567", "50.0", "9", "0"]
    assert nic.split() == ["nic0", "awaited", "there", "3", "1", "2", "user"]
    ended = plain(Report("m", facts, None, {"state": "FAILED", "icount": 7, "detail": "why"}, ()))
    assert (ended["state"], ended["icount"], ended["detail"]) == ("failed", 7, "why")
