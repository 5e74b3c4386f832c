"""How runs end: asked to, by force, or because a process was killed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from tests.harness.guests import guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = pytest.mark.system

EXIT_FAILED = 1
DEADLINE_S = 10.0


def _start(home: Home) -> tuple[Running, Path]:
    """An echo guest that has said that it is ready and been told something, and now waits."""
    path = home.work / "a.dejavm"
    running = home.start(
        "record", "bare", "--kernel", guest("echo"), "--serial", "stdio", "-o", path, "--on-broker-death", "end"
    )
    process = running.process
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"READY\n"
    for number in range(20):
        process.stdin.write(b"line %d\n" % number)
        process.stdin.flush()
        assert process.stdout.readline() == b"LINE %d\n" % number
    return running, path


def _wait_for_a_chunk(path: Path) -> None:
    """Until something is on the disk: at most 100 ms of messages are not."""
    deadline = time.monotonic() + DEADLINE_S
    while Recording.open(path).messages == 0:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_in_order(home: Home, number: signal.Signals) -> None:
    running, path = _start(home)
    running.signal(number)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert Recording.open(path).clean_end
    home.verify_both_ways(path)


def test_a_signal_ends_a_busy_run_in_order(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = home.start(
        "record", "bare", "--kernel", guest("chatter"), "--serial", "stdio", "-o", path, "--on-broker-death", "end"
    )
    assert running.process.stdout is not None
    assert running.process.stdout.readline().startswith(b"line 10000")
    running.signal(signal.SIGTERM)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert Recording.open(path).clean_end
    home.verify_both_ways(path)


@pytest.mark.parametrize("name", ["broker"])
def test_a_killed_process_is_named_and_what_was_recorded_replays(home: Home, name: str) -> None:
    running, path = _start(home)
    _wait_for_a_chunk(path)
    os.kill(home.pid_of(name), signal.SIGKILL)
    done = running.finish()
    assert done.exit_code == EXIT_FAILED, done.stderr
    assert name in done.complaint
    assert "SIGKILL" in done.complaint
    recording = Recording.open(path)
    assert not recording.clean_end
    assert recording.summary().damage == ""
    assert recording.messages > 0
    assert home.left_behind() == []
    home.verify_both_ways(path)


def test_a_killed_node_ends_a_replay_too(home: Home) -> None:
    path = home.record("bare", "--kernel", guest("chatter"), "--serial", "null")
    running = home.start("replay", path)
    os.kill(home.pid_of("cpu"), signal.SIGKILL)
    done = running.finish()
    assert done.exit_code == EXIT_FAILED
    assert "cpu" in done.complaint


def test_a_second_signal_ends_the_run_by_force(home: Home) -> None:
    running, path = _start(home)
    os.kill(home.pid_of("cpu"), signal.SIGSTOP)
    running.signal(signal.SIGTERM)
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.exit_code == EXIT_FAILED
    assert "force" in done.complaint
    assert Recording.open(path).messages > 0


def test_a_run_whose_line_waits_for_somebody_says_so_and_can_be_ended(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = home.start("record", "bare", "--kernel", guest("echo"), "--serial", "unix:s,server=on", "-o", path)
    assert running.process.stderr is not None
    lines = iter(running.process.stderr.readline, b"")
    assert b"serial0: waits for a client on unix:s; connect one, or say wait=off\n" in lines
    running.signal(signal.SIGINT)
    done = running.finish()
    assert (done.exit_code, done.complaint) == (0, "dejavm: ended before it began")
    assert sorted(home.work.iterdir()) == []


def test_a_command_that_is_no_run_dies_of_an_interrupt(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("chatter"), "--serial", "null")
    # Whoever runs the tests in the background may have it ignored.
    running = home.start_argv(["env", "--default-signal=INT", *home.argv("dump", recording, "--json")])
    assert running.process.stdout is not None
    # It has more to say than the pipe holds, and nobody reads on: it cannot have come to its end.
    assert running.process.stdout.readline().startswith(b"{")
    running.signal(signal.SIGINT)
    running.process.wait(DEADLINE_S * 6)
    done = running.finish()
    assert (done.exit_code, done.complaint) == (-signal.SIGINT, "dejavm: interrupted")
