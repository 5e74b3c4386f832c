"""Processes that die in the middle of a recording, at every place they can: what the guest and the log see of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.guests import BARE, guest, saboteur
from tests.harness.killing import await_size
from tests.harness.line import EchoLine
from tests.harness.machine import console, typed
from tests.harness.monitor import Qmp, connect
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_FAILED: Final = 1
EXIT_DIVERGED: Final = 3
LIVES: Final = 8
"""Processes of one device that die."""
DEADLINE_S: Final = 30.0


def _dying(home: Home, node: str, steps: str, lives: int = LIVES) -> Rig:
    counter = str(home.work / f"lives-{node}")
    command = (sys.executable, "-P", "-m", "tests.harness.dying", steps, str(lives), counter)
    return Rig(prefix={node: command})


@pytest.mark.parametrize("steps", ["4+", "7+", "13"])
def test_a_serial_line_whose_process_dies_again_and_again_loses_and_doubles_nothing(home: Home, steps: str) -> None:
    EchoLine(home, _dying(home, "serial0", steps)).survive(home, LIVES)


def test_what_a_script_and_a_file_had_come_to_is_gone_on_with(home: Home) -> None:
    script = home.script('expect READY\nsend "one\\n"\nexpect ONE\nsend "two\\x04"\nexpect PASS\n')
    words = ("--kernel", guest("echo"), "--serial", script)
    recording = home.record("bare", *words, rig=_dying(home, "serial0", "4+"))
    undisturbed = home.record("bare", *words, name="b")
    assert console(recording) == console(undisturbed)
    assert typed(recording) == b"one\ntwo\x04"
    home.verify_both_ways(recording)
    out = home.work / "out.txt"
    written = home.record(
        "bare", "--kernel", guest("chatter"), "--serial", f"file:{out}", name="c", rig=_dying(home, "serial0", "29")
    )
    assert out.read_bytes() == console(written)
    home.verify_both_ways(written)


def test_a_device_that_dies_at_the_same_message_three_times_ends_the_run(home: Home) -> None:
    path = home.work / "a.dejavm"
    done = home.run(
        "record", "bare", "--kernel", guest("chatter"), "--serial", "null", "-o", path,
        rig=_dying(home, "serial0", "4!", lives=100),
    )  # fmt: skip
    assert done.exit_code == EXIT_FAILED, done.stderr
    assert "serial0 has died 3 times at message " in done.complaint
    assert "it is not rebuilt again" in done.complaint


def test_a_device_with_a_hidden_clock_is_caught_when_it_is_rebuilt(home: Home) -> None:
    board = home.file("board.toml", BARE + saboteur("clock_reader"))
    path = home.work / "a.dejavm"
    done = home.run(
        "record", board, "--kernel", guest("poke"), "--serial", "null", "-o", path, rig=_dying(home, "cheat0", "14")
    )
    assert done.exit_code == EXIT_DIVERGED, done.stderr
    assert "in cheat0, done: expected value=" in done.complaint


def test_the_monitor_hears_who_has_died_and_who_stands_in(home: Home) -> None:
    line = EchoLine(home)
    with Qmp(home) as qmp:
        line.echo(b"before")
        pid = home.pid_of("rtc0")
        os.kill(pid, signal.SIGKILL)
        lost = qmp.await_event("DEJAVM_NODE_LOST")["data"]
        back = qmp.await_event("DEJAVM_NODE_BACK")["data"]
        line.echo(b"behind")
    assert (lost["node"], lost["pid"]) == ("rtc0", pid)
    assert back["node"] == "rtc0"
    assert back["pid"] != pid
    assert back["pause-ms"] >= 0
    assert "rtc0: process" in line.end()
    home.verify_both_ways(line.path)


def test_a_run_that_is_to_end_when_a_process_dies_does(home: Home) -> None:
    line = EchoLine(home, None, "--on-death", "end")
    line.echo(b"before")
    os.kill(home.pid_of("serial0"), signal.SIGKILL)
    done = line.running.finish()
    line.close()
    assert done.exit_code == EXIT_FAILED
    assert "serial0 was killed by SIGKILL" in done.complaint
    assert not Recording.open(line.path).clean_end
    home.verify_both_ways(line.path)


def test_without_a_log_a_process_that_dies_ends_the_run(home: Home) -> None:
    where: Path = home.work / "line"
    running = home.start("run", "bare", "--kernel", guest("echo"), "--serial", f"unix:{where},server=on")
    with connect(where) as peer:
        assert peer.recv(1) == b"R"
        os.kill(home.pid_of("rtc0"), signal.SIGKILL)
        done = running.finish()
    assert done.exit_code == EXIT_FAILED
    assert "rtc0 was killed by SIGKILL" in done.complaint


@pytest.mark.parametrize("steps", ["9*", "14*"])
def test_a_cpu_that_dies_again_and_again_goes_on_where_it_was(home: Home, steps: str) -> None:
    EchoLine(home, _dying(home, "cpu", steps)).survive(home, LIVES)


def test_a_busy_cpu_that_is_killed_begins_again_at_the_newest_snapshot(home: Home) -> None:
    path, out = home.work / "a.dejavm", home.work / "out.txt"
    words = ("--kernel", guest("chatter"), "--serial", f"file:{out}", "--snapshot-every", "200ms")
    running = home.start("record", "bare", *words, "-o", path)
    with Qmp(home) as qmp:
        home.await_path(out)
        await_size(out, 1, DEADLINE_S)
        for _ in range(2):
            size = out.stat().st_size
            pid = home.pid_of("cpu")
            os.kill(pid, signal.SIGKILL)
            back = qmp.await_event("DEJAVM_NODE_BACK")
            qmp.events.clear()
            assert back["data"]["node"] == "cpu"
            await_size(out, size + 1, DEADLINE_S)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert out.read_bytes() == console(path)
    home.verify_both_ways(path)


def test_a_cpu_and_a_device_that_are_killed_at_once_both_come_back(home: Home) -> None:
    line = EchoLine(home)
    with Qmp(home) as qmp:
        for number in range(3):
            line.echo(b"before %d" % number)
            for name in ("cpu", "serial0"):
                os.kill(home.pid_of(name), signal.SIGKILL)
            line.echo(b"behind %d" % number)
            for _ in range(2):
                qmp.events.remove(qmp.await_event("DEJAVM_NODE_BACK"))
    line.end()
    home.verify_both_ways(line.path)


def test_a_cpu_that_is_killed_in_its_sleep_behind_a_snapshot_wakes_up(home: Home) -> None:
    line = EchoLine(home, None, "--snapshot-every", "100ms")
    with Qmp(home) as qmp:
        for number in range(3):
            line.echo(b"before %d" % number)
            home.await_path(line.path / "snapshots")
            os.kill(home.pid_of("cpu"), signal.SIGKILL)
            qmp.events.remove(qmp.await_event("DEJAVM_NODE_BACK"))
            line.echo(b"behind %d" % number)
    line.end()
    home.verify_both_ways(line.path)
