"""A recording outlives its writer: kill -9 of any process or of all, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.format import CHUNK_NS
from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import final_digest, typed
from tests.harness.monitor import Qmp
from tests.harness.rigged import Rig
from tests.unit.machine.recordings import behind_the_chunks, cut_in_the_last_chunk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Finished, Home, Running

ENDS: Final = ("--on-broker-death", "end")
pytestmark = pytest.mark.system
EXIT_FAILED = 1
EXIT_UNREADABLE = 4
ON_A_SMALL_DISK = """
mkdir small && mount -t tmpfs -o size=32K small small || exit 9
"$@"
code=$?
cp -a small/*.dejavm . ; exit $code
"""
APART = ("unshare", "--user", "--map-root-user", "--mount", "--fork", "--kill-child")


def _say(running: Running, line: bytes) -> None:
    """Type a line and wait for the guest's answer: what brought it there has been stamped, sent and acted on."""
    process = running.process
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    assert process.stdout.readline() == line.upper()


def _let_100_ms_pass(home: Home) -> None:
    """Until the broker, by the host's clock, has gone round once 100 ms after all that was said so far.

    It answers the monitor at the end of a round, so the second answer is of a round that began behind that time.
    """
    due_ns = time.monotonic_ns() + CHUNK_NS
    with Qmp(home) as monitor:
        while time.monotonic_ns() < due_ns:
            monitor.execute("query-status")
        for _ in range(2):
            monitor.execute("query-status")


def _says_so(home: Home, path: Path) -> None:
    """The log opens as it is and replays as far as it goes; everybody who reads it says that there is no end."""
    recording = Recording.open(path)
    assert not recording.clean_end
    assert recording.summary().damage == ""
    for command in (("verify", "--devices", "log"), ("verify", "--devices", "live"), ("replay",)):
        done = home.run(command[0], path, *command[1:], "--json")
        assert done.exit_code == 0, done.stderr
        assert done.json["clean_end"] is False
        assert done.json.get("final_digest", final_digest(path)) == final_digest(path)
        extent = f"whole up to instruction {recording.end_icount:,}, message {recording.messages:,}"
        assert f"the run was cut short: it is {extent}" in done.stderr
    done = home.run("info", path)
    assert "the run was cut short: whole up to" in done.stdout


@pytest.mark.parametrize("name", ["broker", "cpu", "serial0", "rtc0", "launcher", "all"])
def test_what_is_older_than_100_ms_outlives_a_kill(home: Home, name: str) -> None:
    path = home.work / "a.dejavm"
    running = home.start("record", "bare", "--kernel", guest("echo"), "--serial", "stdio", "-o", path, *ENDS)
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == b"READY\n"
    early = [b"line %d\n" % number for number in range(20)]
    for line in early:
        _say(running, line)
    _let_100_ms_pass(home)
    for number in range(20):
        _say(running, b"late %d\n" % number)
    if name == "all":
        pids = list(home.processes())
    else:
        pids = [running.process.pid if name == "launcher" else home.pid_of(name)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # Where the machine can do without the process it goes on until it is told not to.
    running.signal(signal.SIGTERM)
    running.finish()
    if name in ("launcher", "all"):
        # Nobody is left who could remove the machine's sockets; the next one does.
        home.await_no_process()
        assert len(list(home.runtime.iterdir())) == 1
        assert home.run("replay", path).exit_code in (0, 1)
        assert list(home.runtime.iterdir()) == []
    assert typed(path).startswith(b"".join(early))
    if Recording.open(path).clean_end:
        home.verify_both_ways(path)
    else:
        _says_so(home, path)


def test_a_broker_killed_at_any_moment_leaves_a_log_that_replays(home: Home) -> None:
    for number, kilobytes in enumerate((1, 30, 120)):
        path = home.work / f"{number}.dejavm"
        running = home.start("record", "bare", "--kernel", guest("chatter"), "--serial", "stdio", "-o", path, *ENDS)
        assert running.process.stdout is not None
        running.process.stdout.read(kilobytes << 10)
        os.kill(home.pid_of("broker"), signal.SIGKILL)
        assert running.finish().exit_code == EXIT_FAILED
        _says_so(home, path)


@pytest.mark.parametrize("size", [12_000, 24_001])
def test_a_broker_killed_with_half_a_chunk_written_leaves_a_log_that_replays(home: Home, size: int) -> None:
    path = home.work / "a.dejavm"
    log = path / "log.mcap"
    # The kernel takes the first part of a chunk, up to so many bytes of the file; what the broker asks it for next
    # kills it.
    killed = ("strace", "--follow-forks", "-qq", "-o", "calls", "-P", str(log), "-e", "trace=ftruncate")
    rig = Rig(prefix={"broker": ("prlimit", f"--fsize={size}", *killed, "-e", "inject=ftruncate:signal=SIGKILL")})
    done = home.run("record", "bare", "--kernel", guest("chatter"), "--serial", "null", "-o", path, *ENDS, rig=rig)
    assert done.exit_code == EXIT_FAILED
    assert "SIGKILL" in (home.work / "calls").read_text()
    data = log.read_bytes()
    assert len(data) == size
    end = behind_the_chunks(data)
    assert end < size
    shutil.copytree(path, home.work / "whole.dejavm")
    os.truncate(home.work / "whole.dejavm" / "log.mcap", end)
    frames = list(Recording.open(path).frames())
    assert frames
    assert frames == list(Recording.open(home.work / "whole.dejavm").frames())
    _says_so(home, path)


def test_a_log_that_ends_in_the_middle_of_a_write_replays_up_to_its_last_whole_chunk(home: Home) -> None:
    path = home.record("bare", "--kernel", guest("chatter"), "--serial", "null")
    whole = Recording.open(path)
    messages = whole.messages
    # As a host that dies in the middle of a write leaves it: nobody has closed it.
    machine = path / "machine.toml"
    machine.write_text(machine.read_text().replace(f"closed = {whole.log_bytes}\n", ""))
    cut_in_the_last_chunk(path / "log.mcap")
    assert 0 < Recording.open(path).messages < messages
    _says_so(home, path)


def test_a_closed_log_that_has_lost_its_end_is_damaged(home: Home) -> None:
    path = home.record("bare", "--kernel", guest("counters"), "--serial", "null")
    log = path / "log.mcap"
    os.truncate(log, log.stat().st_size // 2)
    for command in (("verify",), ("replay",), ("replay", "--devices", "live"), ("info",), ("dump",)):
        done = home.run(command[0], path, *command[1:])
        assert done.exit_code == EXIT_UNREADABLE, done.stderr
        assert "log.mcap" in done.stderr + done.stdout
        assert "good up to instruction" in done.stderr + done.stdout


def _on_a_small_disk(home: Home, *args: str | Path) -> Finished:
    """Record where there is little room; what fitted is in the test's directory afterwards."""
    inner = home.argv("record", *args, "-o", "small/a.dejavm")
    return home.start_argv([*APART, "sh", "-c", ON_A_SMALL_DISK, "sh", *inner]).finish()


def test_a_full_disk_ends_the_run_and_what_fitted_replays(home: Home) -> None:
    done = _on_a_small_disk(home, "bare", "--kernel", guest("chatter"), "--serial", "null")
    assert done.exit_code == EXIT_FAILED, done.stderr
    assert "log.mcap: cannot write the log: No space left on device" in done.complaint
    path = home.work / "a.dejavm"
    recording = Recording.open(path)
    assert recording.messages > 0
    assert f": {recording.end_icount:,} instructions, {recording.messages:,} messages, " in done.stderr
    # A part of a chunk that found room was taken off again.
    assert recording.summary().damage == ""
    _says_so(home, path)


def test_a_disk_that_is_full_from_the_start_is_one_line(home: Home) -> None:
    fill = ON_A_SMALL_DISK.replace('"$@"', 'cat /dev/zero > small/zeros; "$@"')
    inner = home.argv("record", "bare", "--kernel", guest("chatter"), "--serial", "null", "-o", "small/a.dejavm")
    done = home.start_argv([*APART, "sh", "-c", fill, "sh", *inner]).finish()
    assert done.exit_code == EXIT_FAILED, done.stderr
    assert "No space left on device" in done.complaint
    assert home.recordings() == []
