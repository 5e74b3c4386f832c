"""File systems that are full, under machines: the running machine's directory, and where the recording lies."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from devices.journal import Journal
from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import Home
from tests.harness.net_namespace import run_alone
from tests.harness.service import PATIENCE_S, Service
from tests.harness.small_disk import APART, SmallDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedRWPair

    from tests.harness.machine import Running

pytestmark = pytest.mark.system
LONG_S: Final = 150.0
DISK_BYTES: Final = 4 << 20
LINE: Final = b"all that is typed is read in one piece, and echoed in capitals %d\n"
MANY: Final = 100_000
"""Far more than the journal has room for at first, and than a device handles between two states."""
AT_ONCE: Final = 100
ECHO: Final = ("bare", "--kernel", str(guest("echo")))
AGAIN: Final = "/journal-serial0: there is room again: another process can stand in for this one"
GAP: Final = "/journal-serial0: there was no room for what a process that takes over must know"
FULL: Final = "/journal-serial0: No space left on device; make room: until then the run ends if this process dies"


@contextmanager
def small(of: str) -> Iterator[tuple[Home, SmallDisk]]:
    """A test's directory of which one part is a small disk; nothing is left of it."""
    home = Home()
    try:
        disk = SmallDisk(home.path / of, DISK_BYTES)
        yield home, disk
        disk.clear()
        assert home.left_behind() == []
    finally:
        home.end()
        disk.remove()
        home.remove()


def hold_talk(text: BufferedRWPair, count: int = 1) -> None:
    """Type lines, some at once; they come back in capitals."""
    for first in range(0, count, AT_ONCE):
        lines = [LINE % number for number in range(first, min(first + AT_ONCE, count))]
        text.write(b"".join(lines))
        text.flush()
        assert [text.readline() for _ in lines] == [line.upper() for line in lines]


def talk_until(home: Home, text: BufferedRWPair, *, gap: bool) -> None:
    """Until the line's journal has a gap, or has none any more."""
    (path,) = home.runtime.rglob("journal-serial0")
    for _ in range(MANY // AT_ONCE):
        hold_talk(text, AT_ONCE)
        journal = Journal(path, new=False)
        found = journal.gap
        journal.forget()
        if found == gap:
            return
    raise AssertionError(f"the journal's gap stays {not gap}")


@contextmanager
def recorded(home: Home) -> Iterator[tuple[Running, BufferedRWPair]]:
    """A run that has come to the guest's first word, and its line, which outlives whoever dies at this end."""
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as text:
        running = home.start("record", *ECHO, "--serial", "unix:s,server=on", "-o", home.work / "a.dejavm")
        home.call(line, home.work / "s")
        assert text.readline() == b"READY\n"
        yield running, text


def kill(home: Home, name: str) -> None:
    """As the host does that has no memory left."""
    os.kill(home.pid_of(name), signal.SIGKILL)


def room_comes_back() -> None:
    """The run goes on without a journal, and with one again when there is room."""
    with small("run") as (home, disk), recorded(home) as (running, text):
        disk.fill()
        talk_until(home, text, gap=True)
        disk.clear()
        talk_until(home, text, gap=False)
        kill(home, "serial0")
        hold_talk(text)
        text.write(b"\x04")
        text.flush()
        done = running.finish()
        assert done.exit_code == 0, done.stderr
        assert done.stderr.count(FULL) == 1
        assert (
            done.stderr.count("/journal-serial0: there is room again: another process can stand in for this one") == 1
        )
        assert done.stderr.count("stands in for it") == 1
        home.verify(home.work / "a.dejavm")


def a_device_dies_meanwhile() -> None:
    """It cannot be stood in for; the recording is good up to there."""
    with small("run") as (home, disk), recorded(home) as (running, text):
        disk.fill()
        talk_until(home, text, gap=True)
        kill(home, "serial0")
        done = running.finish()
        assert (done.exit_code, done.stderr.count(FULL)) == (1, 1), done.stderr
        assert done.complaint.endswith(
            "/journal-serial0: there was no room for what a process that takes over must know"
        )
        home.verify(home.work / "a.dejavm")
        assert Recording.open(home.work / "a.dejavm").messages > AT_ONCE


def the_broker_dies_meanwhile() -> None:
    """There is no room for those that would come in its place; the recording is good up to there."""
    with small("run") as (home, disk), recorded(home) as (running, text):
        hold_talk(text)
        disk.fill()
        kill(home, "broker")
        done = running.finish()
        assert done.exit_code == 1
        assert "No space left on device" in done.complaint
        home.verify(home.work / "a.dejavm")


def up_without_room() -> None:
    """A machine for which there is too little room does not start, and says so at once."""
    with small("run") as (home, disk):
        for room in (0, 4096, 1 << 15, 1 << 20):
            disk.fill(but=room)
            done = home.run("up", *ECHO, "--serial", "ringbuf", "--record", "-o", "a.dejavm", "--name", "m")
            assert done.exit_code == 1
            assert done.complaint.endswith("/m: cannot write the machine: No space left on device")
            assert list(home.runtime.iterdir()) == [home.runtime / "ballast"]
            assert home.recordings() == []


def up_in_a_full_directory() -> None:
    """The guest runs on where nothing can be written any more, and the machine's last word is there."""
    with small("run") as (home, disk), socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as text:
        machine = Service(home, "m")
        options = ("--serial", "unix:s,server=on", "--record", "-o", "a.dejavm")
        recording = machine.up(*ECHO, *options, meanwhile=lambda: home.call(line, home.work / "s"))
        assert text.readline() == b"READY\n"
        disk.fill()
        talk_until(home, text, gap=True)
        assert (machine.ps()["state"], machine.supervisorctl()["serial0"]) == ("running", "RUNNING")
        os.kill(machine.pids()["serial0"], signal.SIGKILL)
        assert machine.await_state("failed")["detail"].endswith(GAP)
        assert machine.down(exit_code=1).complaint.endswith(GAP)
        assert recording is not None
        home.verify(recording)


def up_into_a_full_disk() -> None:
    """The run ends, and everybody who is asked says why."""
    with small("work") as (home, disk):
        machine = Service(home, "m")
        options = ("--serial", "unix:s,server=on", "--record", "-o", "a.dejavm")
        with socket.socket(socket.AF_UNIX) as line:
            text = line.makefile("rwb")
            recording = machine.up(*ECHO, *options, meanwhile=lambda: home.call(line, home.work / "s"))
            assert recording is not None
            assert text.readline() == b"READY\n"
            disk.fill()
            # The line's end is heard when it is read, written or closed.
            with pytest.raises((AssertionError, OSError)), text:
                hold_talk(text, MANY)
        why = f"{recording}/log.mcap: cannot write the log: No space left on device"
        assert machine.await_state("failed")["detail"] == why
        deadline = time.monotonic() + PATIENCE_S
        while f"the run has ended: {why}" not in (told := home.run("logs", "--name", "m").stdout):
            assert time.monotonic() < deadline, told
        down = machine.down(exit_code=1)
        assert (down.stdout, down.complaint) == ("m is down: failed\n", f"dejavm: m: {why}")
        home.verify(recording)


@pytest.mark.parametrize("claim", [room_comes_back, a_device_dies_meanwhile, the_broker_dies_meanwhile])
def test_a_recorded_run_in_a_directory_that_fills_up(claim: Callable[[], None]) -> None:
    run_alone(claim, APART, timeout_s=LONG_S)


@pytest.mark.parametrize("claim", [up_without_room, up_in_a_full_directory, up_into_a_full_disk])
def test_a_service_where_there_is_no_room(claim: Callable[[], None]) -> None:
    run_alone(claim, APART, timeout_s=LONG_S)
