"""A broker that is killed while a guest is recorded: another goes on where the log ends, and it is one recording."""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import subprocess
import termios
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import pytest

from machine.recording.reader import Recording
from tests.harness.gdb import Gdb
from tests.harness.guests import guest
from tests.harness.killing import await_another, await_growth, await_said
from tests.harness.line import EchoLine
from tests.harness.machine import console, typed
from tests.harness.monitor import Qmp, connect
from tests.harness.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_FAILED: Final = 1
DEADLINE_S: Final = 60.0
AHEAD: Final = 4096
"""Bytes that are typed and have not come back."""
UNUSED: Final = 0x8060_0000
"""An address of memory that the guest leaves alone."""


def _kill(home: Home, name: str = "broker") -> int:
    pid = home.pid_of(name)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_three_brokers_in_a_row_are_killed_and_who_types_notices_a_pause(home: Home) -> None:
    line = EchoLine(home)
    for number in range(3):
        line.echo(b"before %d" % number)
        await_said(line.path, b"BEFORE %d" % number)
        _kill(home)
        # The connection is the same, and what is typed meanwhile is there.
        line.echo(b"behind %d" % number)
    said = line.end()
    assert said.count("another broker goes on from instruction") == 3
    recording = Recording.open(line.path)
    assert recording.clean_end
    assert typed(line.path).count(b"\n") == 6
    info = home.run("info", line.path, "--json").json
    assert [each["icount"] for each in info["continued"]] == [each.icount for each in recording.facts.continued]
    assert home.run("info", line.path).stdout.count("went on with it at instruction") == 3
    home.verify_both_ways(line.path)


def test_a_busy_guest_goes_on_and_its_file_is_what_the_recording_says(home: Home) -> None:
    path, out = home.work / "a.dejavm", home.work / "out.txt"
    words = ("--kernel", guest("chatter"), "--serial", f"file:{out}", "--snapshot-every", "200ms")
    running = home.start("record", "bare", *words, "-o", path)
    await_said(path, b"line 15000")
    _kill(home)
    await_another(path, 1)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert out.read_bytes() == console(path)
    undisturbed = home.record("bare", "--kernel", guest("chatter"), "--serial", "null", name="b")
    assert console(undisturbed) == console(path)
    home.verify_both_ways(path)


def test_a_backend_that_was_changed_is_kept_and_who_is_connected_to_it(home: Home) -> None:
    line, where = EchoLine(home), home.work / "another"
    line.echo(b"before")
    with Qmp(home) as qmp:
        qmp.execute("chardev-change", id="serial0", backend=f"unix:{where},server=on,wait=off")
    with connect(where) as peer, peer.makefile("rb") as said:
        for word in (b"changed", b"behind", b"twice"):
            peer.sendall(word + b"\n")
            assert said.readline() == word.upper() + b"\n"
            if word != b"twice":
                await_said(line.path, word.upper())
                _kill(home)
        peer.sendall(b"\x04")
        done = line.running.finish()
    line.close()
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("another broker goes on from instruction") == 2
    assert typed(line.path) == b"before\nchanged\nbehind\ntwice\n\x04"
    home.verify_both_ways(line.path)


def test_gdb_loses_the_machine_and_comes_again(home: Home) -> None:
    place = home.work / "gdb.sock"
    line = EchoLine(home, None, "--gdb", f"unix:{place}")
    with Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"set var *(long *){UNUSED:#x} = 77")
        gdb.tell("detach")
        line.echo(b"before")
        await_said(line.path, b"BEFORE")
        gdb.attach(place)
        _kill(home)
        # The machine goes on although it had been held.
        line.echo(b"behind")
    with Gdb(home) as gdb:
        gdb.attach(place)
        assert gdb.value(f"*(long *){UNUSED:#x}") == 77
        gdb.tell("detach")
    assert "another broker goes on from instruction" in line.end()
    home.verify_both_ways(line.path)


def test_a_script_goes_on_at_the_step_where_it_was_and_nothing_stands_still(home: Home) -> None:
    script = home.script('expect READY\nsend "one\\n"\nexpect ONE\ndelay 3s\nsend "two\\x04"\nexpect PASS\n')
    path = home.work / "a.dejavm"
    running = home.start("record", "bare", "-S", "--kernel", guest("echo"), "--serial", script, "-o", path)
    with Qmp(home) as qmp:
        qmp.execute("cont")
    await_said(path, b"ONE")
    _kill(home)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert typed(path) == b"one\ntwo\x04"
    home.verify_both_ways(path)


def test_a_broker_that_is_killed_before_it_has_written_anything_begins_again(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = home.start("record", "bare", "--kernel", guest("echo"), "--serial", "stdio", "-o", path)
    _kill(home)
    done = running.finish(stdin=b"word\x04")
    assert done.exit_code == 0, done.stderr
    # The first byte comes before the guest has a line, as it does in any run.
    assert b"ORD" in console(path)
    assert "another broker goes on from power-on" in done.stderr
    assert home.left_behind() == []
    home.verify_both_ways(path)


def test_a_line_that_had_waited_for_somebody_waits_again(home: Home) -> None:
    path, where = home.work / "a.dejavm", home.work / "line"
    words = ("--kernel", guest("echo"), "--serial", f"unix:{where},server=on")
    running = home.start("record", "bare", *words, "-o", path)
    home.await_path(where)
    waited = home.pid_of("serial0")
    _kill(home)
    while home.pid_of("serial0") == waited:
        time.sleep(0.005)
    with connect(where) as peer, peer.makefile("rb") as said:
        # What the guest says to nobody is gone.
        assert said.readline() == b"READY\n"
        peer.sendall(b"\x04")
        done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert "another broker goes on from power-on" in done.stderr
    home.verify_both_ways(path)


def test_a_broker_that_is_killed_while_a_snapshot_is_written_leaves_no_half_of_it(home: Home) -> None:
    path = home.work / "a.dejavm"
    words = ("--kernel", guest("chatter"), "--serial", "null", "--snapshot-every", "20ms")
    running = home.start("record", "bare", *words, "-o", path)
    deadline = time.monotonic() + DEADLINE_S
    while not any((path / "snapshots").glob("*.part")):
        assert time.monotonic() < deadline, "nobody writes a snapshot"
    _kill(home)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert "another broker goes on from" in done.stderr
    found = home.run("snapshots", path, "--json").json
    assert found["damage"] == []
    # One of the time that is no more would not replay.
    last = found["snapshots"][-1]["icount"]
    assert home.run("replay", path, "--seek", str(last), "--json").exit_code == 0
    home.verify_both_ways(path)


def test_a_broker_that_is_killed_while_others_are_rebuilt_has_all_come_back(home: Home) -> None:
    line = EchoLine(home)
    for number, name in enumerate(("serial0", "cpu")):
        line.echo(b"before %d" % number)
        await_said(line.path, b"BEFORE %d" % number)
        _kill(home, name)
        _kill(home)
        line.echo(b"behind %d" % number)
    line.end()
    assert typed(line.path).count(b"\n") == 4
    home.verify_both_ways(line.path)


def test_what_is_typed_at_a_terminal_is_there_once(home: Home) -> None:
    path = home.work / "a.dejavm"
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    argv = home.argv("record", "bare", "--kernel", guest("echo"), "--serial", "stdio", "-o", path)
    command = subprocess.Popen(
        argv, cwd=home.work, env=home.environment(None), stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    try:
        _await_seen(ours, b"READY")
        os.write(ours, b"before\r")
        _await_seen(ours, b"BEFORE")
        await_said(path, b"BEFORE")
        _kill(home)
        os.write(ours, b"mean")
        os.write(ours, b"while\r")
        _await_seen(ours, b"MEANWHILE")
        os.write(ours, b"\x04")
        _await_seen(ours, b"recorded ")
        assert command.wait(DEADLINE_S) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        command.kill()
        command.wait()
        os.close(ours)
        os.close(theirs)
    # As lines, where the terminal was between two.
    assert typed(path).replace(b"\r", b"\n") == b"before\nmeanwhile\n\x04"
    home.verify_both_ways(path)


def _await_seen(terminal: int, mark: bytes) -> None:
    """Read what is shown until that is."""
    seen, deadline = b"", time.monotonic() + DEADLINE_S
    while mark not in seen:
        left_s = deadline - time.monotonic()
        assert left_s > 0, seen
        if select.select([terminal], [], [], left_s)[0]:
            seen += os.read(terminal, 4096)


def test_a_broker_that_is_killed_while_the_machine_is_taken_back_is_tried_again(home: Home) -> None:
    line = EchoLine(home)
    line.echo(b"before")
    await_said(line.path, b"BEFORE")
    first = _kill(home)
    while (second := home.pid_of("broker")) == first:
        time.sleep(0.005)
    os.kill(second, signal.SIGKILL)
    line.echo(b"behind")
    line.end()
    home.verify_both_ways(line.path)


def test_a_run_that_is_to_end_with_its_broker_does(home: Home) -> None:
    line = EchoLine(home, None, "--on-broker-death", "end")
    line.echo(b"before")
    _kill(home)
    done = line.running.finish()
    line.close()
    assert done.exit_code == EXIT_FAILED
    assert "broker was killed by SIGKILL" in done.complaint
    assert not Recording.open(line.path).clean_end


def test_every_process_of_a_branch_may_be_killed(home: Home) -> None:
    line = EchoLine(home)
    line.echo(b"one")
    line.end()
    parent = line.path
    where = Recording.open(parent).end_icount - 1000
    script = home.script(
        'send "three\\n"\nexpect THREE\ndelay 2s\nsend "four\\n"\nexpect FOUR\ndelay 1s\nsend "\\x04"\n'
    )
    path = home.work / "child.dejavm"
    running = home.start("branch", f"{parent}@{where}", "--serial", script, "-o", path)
    await_said(path, b"THREE")
    for name in ("serial0", "cpu", "rtc0"):
        _kill(home, name)
    _kill(home)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert typed(path) == b"three\nfour\n\x04"
    home.verify_both_ways(path)


def test_under_supervisor_a_killed_broker_comes_back(home: Home) -> None:
    machine = Service(home, "m")
    where = home.work / "line"
    words = ("--kernel", guest("echo"), "--serial", f"unix:{where},server=on", "--record", "-o", "a.dejavm")
    with socket.socket(socket.AF_UNIX) as peer, peer.makefile("rb") as said:
        recording = machine.up("bare", *words, meanwhile=lambda: home.call(peer, where))
        assert recording is not None
        assert said.readline() == b"READY\n"
        peer.sendall(b"before\n")
        assert said.readline() == b"BEFORE\n"
        await_said(recording, b"BEFORE")
        pids = machine.pids()
        pid = pids["broker"]
        # Who does not leave holds up the others.
        os.kill(pids["rtc0"], signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        machine.await_state("returning")
        peer.sendall(b"behind\n")
        os.kill(pids["rtc0"], signal.SIGCONT)
        assert said.readline() == b"BEHIND\n"
    assert machine.await_state("running")
    assert machine.pids()["broker"] != pid
    assert "another broker goes on from" in home.run("logs", "--name", "m", "listener").stdout
    assert machine.down().stdout == "m is down: ended\n"
    assert typed(recording) == b"before\nbehind\n"
    home.verify_both_ways(recording)


def test_a_guest_that_prints_while_it_is_typed_to_has_every_byte_once(home: Home) -> None:
    """Killed in the middle of lines: the peer hears again what the log had not, and nothing else."""
    path, where = home.work / "a.dejavm", home.work / "line"
    words = ("--kernel", guest("echo"), "--serial", f"unix:{where},server=on")
    running = home.start("record", "bare", *words, "-o", path)
    with connect(where) as peer, _Typist(peer) as typist:
        for times in range(1, 4):
            await_growth(path)
            _kill(home)
            await_another(path, times)
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    _check_heard(path, typist)
    home.verify_both_ways(path)


class _Typist(threading.Thread):
    """Types without waiting for an answer, as long as the block runs; then it has the guest switch off."""

    def __init__(self, peer: socket.socket) -> None:
        super().__init__()
        self._peer = peer
        self._enough = threading.Event()
        self.text = b""
        self.heard = b""

    def run(self) -> None:
        self._hear_until(b"READY\n")
        for number in itertools.takewhile(lambda _: not self._enough.is_set(), itertools.count()):
            self._type(b"line %d of what is typed\n" % number)
            while len(self.heard) < len(self.text) - AHEAD:
                self._hear()
        self._type(b"\x04")
        self._hear_until(b"PASS\n")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()

    def _type(self, text: bytes) -> None:
        self._peer.sendall(text)
        self.text += text

    def _hear_until(self, mark: bytes) -> None:
        while mark not in self.heard:
            self._hear()

    def _hear(self) -> None:
        data = self._peer.recv(1 << 16)
        assert data, self.heard[-200:]
        self.heard += data


def _check_heard(recording: Path, typist: _Typist) -> None:
    """The recording has each byte once; a peer has heard all of it, and at each kill perhaps some of it twice."""
    heard, text = typist.heard, typist.text
    assert typed(recording) == text
    said = console(recording)
    assert said.startswith(b"READY\n" + text[:-1].upper())
    goings_on = Recording.open(recording).facts.continued
    lengths = [len(console(recording, last=each.seq)) for each in goings_on]
    starts = {0}
    for begin, end in itertools.pairwise((0, *lengths)):
        most = {start: _alike(heard[start:], said[begin:]) for start in starts}
        starts = {start + more for start in starts for more in range(end - begin, most[start] + 1)}
    assert any(heard[start:] == said[lengths[-1] :] for start in starts)


def _alike(one: bytes, other: bytes) -> int:
    """How long what both begin with is."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
