"""Stock gdb in front of a machine that runs, is recorded, or is replayed with its devices."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from tests.harness.gdb import PATIENCE_S, Gdb, attended
from tests.harness.guests import BARE, DMACOPY, guest
from tests.harness.machine import console, final_digest
from tests.harness.monitor import Qmp, connect

if TYPE_CHECKING:
    from pathlib import Path

    from machine.frame import Frame
    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ENTRY = 0x8020_0000
FILL_LOOP = 0x8020_0028
"""An instruction of rt.S that runs once for each eight bytes of memory it clears."""


def arguments(home: Home, name: str, *more: str | Path, board: str = BARE) -> tuple[str | Path, ...]:
    """A bare-metal guest."""
    return (home.file("board.toml", board), "--kernel", guest(name), "--serial", "null", "--sleep", "off", *more)


def frames(recording: Path) -> list[Frame]:
    """All that is in a log."""
    return list(Recording.open(recording).frames())


def test_a_machine_waits_for_gdb_and_runs_as_it_is_told(home: Home) -> None:
    with attended(home, "run", *arguments(home, "traps"), "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        assert (gdb.pc, gdb.icount) == (ENTRY, 0)
        gdb.go("stepi")
        assert gdb.pc == ENTRY + 4
        gdb.tell(f"hbreak *{FILL_LOOP:#x}")
        for _ in range(3):
            assert gdb.go("continue")["reason"] == "breakpoint-hit"
        assert gdb.pc == FILL_LOOP
        gdb.tell("delete")
        gdb.tell("set var $t3 = 0x1234")
        assert gdb.value("$t3") == 0x1234
        gdb.tell("set var *(long *)0x80201000 = 77")
        assert gdb.value("*(long *)0x80201000") == 77
        gdb.tell("monitor phys on")
        assert gdb.value("*(long *)0x80201000") == 77
        gdb.tell("kill")
    assert session.finished.exit_code == 0, session.finished.stderr


def test_a_recording_under_gdb_is_the_recording_without(home: Home) -> None:
    plain = home.record(*arguments(home, "dma", board=BARE + DMACOPY), name="plain")
    watched = home.work / "watched.dejavm"
    words = arguments(home, "dma", "-o", watched, board=BARE + DMACOPY)
    with attended(home, "record", *words, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"break *{FILL_LOOP:#x}")
        for _ in range(5):
            gdb.go("continue")
            gdb.tell("info registers")
        gdb.tell("delete")
        gdb.tell("watch *(long *)0x80204040")
        for _ in range(6):
            assert gdb.go("continue")["reason"] == "watchpoint-trigger"
        gdb.tell("delete")
        for _ in range(200):
            gdb.go("stepi")
        gdb.tell("detach")
        gdb.attach(session.place)
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    assert frames(watched) == frames(plain)
    assert final_digest(watched) == final_digest(plain)
    home.verify_both_ways(watched)


def test_a_device_s_write_stops_the_machine_and_is_named(home: Home) -> None:
    board = BARE + DMACOPY
    with attended(home, "run", *arguments(home, "dma", board=board), "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell("watch *(long *)0x80204040")
        said = ""
        for _ in range(24):
            gdb.go("continue")
            said += gdb.said
            if "by DMA" in said:
                break
        assert "dma0 wrote 65536 bytes" in said
        gdb.tell("kill")


@pytest.mark.parametrize("how", ["run", "record"])
def test_gdb_comes_while_the_guest_sleeps(home: Home, how: str) -> None:
    path = home.work / "nap.dejavm"
    output = ("-o", path) if how == "record" else ()
    words = (how, "bare", "--kernel", guest("nap"), "--serial", "file:con", "--sleep", "on", *output)
    with Gdb(home) as gdb, attended(home, *words) as session:
        # Its first line comes out when it falls asleep.
        home.await_bytes(home.work / "con", b"asleep")
        gdb.attach(session.place)
        assert "wfi" in gdb.tell("x/i $pc - 4")
        assert gdb.value("$sie") > 0
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    if how == "record":
        assert b"slept" in console(path)
        home.verify_both_ways(path)


@pytest.mark.parametrize("how", ["run", "record"])
def test_ctrl_c_is_answered_while_the_guest_sleeps(home: Home, how: str) -> None:
    path, line = home.work / "asleep.dejavm", home.work / "line"
    output = ("-o", path) if how == "record" else ()
    words = (how, "bare", "--kernel", guest("restart"), "--serial", f"unix:{line},server=on", *output)
    with Gdb(home) as gdb, attended(home, *words) as session, closing(connect(line)) as hands:
        hands.settimeout(PATIENCE_S)
        heard = b""
        while not heard.endswith(b"UP\n"):  # it comes out when it falls asleep
            heard += hands.recv(100)
        gdb.attach(session.place)
        asleep = (gdb.pc, gdb.icount)
        assert "wfi" in gdb.tell("x/i $pc - 4")
        for _ in range(3):
            gdb.run("continue")
            assert gdb.interrupt()["reason"] == "signal-received"
            assert (gdb.pc, gdb.icount) == asleep
        gdb.tell("detach")
        hands.sendall(b"q")
    assert session.finished.exit_code == 0, session.finished.stderr
    if how == "record":
        home.verify_both_ways(path)


def spinning(home: Home) -> Path:
    """A guest that does nothing, for ever."""
    kernel = home.work / "spin.bin"
    kernel.write_bytes(bytes.fromhex("01a0"))  # c.j 0: a jump to itself
    return kernel


def test_a_running_guest_is_interrupted_and_killed(home: Home) -> None:
    kernel = spinning(home)
    with attended(home, "run", *arguments(home, "traps"), "--kernel", kernel) as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        before = gdb.icount
        gdb.run("continue")
        assert gdb.interrupt()["reason"] == "signal-received"
        assert gdb.pc == ENTRY
        assert gdb.icount > before
        gdb.tell("kill")
    assert session.finished.exit_code == 0, session.finished.stderr


def test_the_machine_runs_when_neither_gdb_nor_the_monitor_holds_it(home: Home) -> None:
    words = arguments(home, "traps", "--kernel", spinning(home))
    with attended(home, "run", *words) as session, Gdb(home) as gdb, Qmp(home) as monitor:
        gdb.attach(session.place)
        assert monitor.execute("query-status") == {"running": False, "status": "debug"}
        before = gdb.icount
        monitor.execute("stop")  # it stands already
        gdb.run("continue")
        assert gdb.interrupt()["reason"] == "signal-received"
        assert gdb.icount == before
        monitor.execute("cont")
        assert gdb.icount == before
        gdb.run("continue")
        monitor.await_event("RESUME")
        assert monitor.execute("query-status") == {"running": True, "status": "running"}
        monitor.execute("stop")
        assert monitor.execute("query-status") == {"running": False, "status": "paused"}
        assert gdb.interrupt()["reason"] == "signal-received"
        assert gdb.icount > before
        # Who ends the machine asks nobody.
        monitor.execute("quit")
    assert session.finished.exit_code == 0, session.finished.stderr


def test_a_snapshot_that_is_asked_for_while_gdb_holds_the_machine_says_who_does_and_comes_later(home: Home) -> None:
    path = home.work / "held.dejavm"
    words = arguments(home, "traps", "--kernel", spinning(home), "-o", path)
    with attended(home, "record", *words) as session, Gdb(home) as gdb, Qmp(home) as monitor:
        gdb.attach(session.place)
        held_at = gdb.icount
        monitor.send("snapshot-save", tag="held")
        progress = monitor.await_event("DEJAVM_PROGRESS")["data"]
        assert (progress["command"], progress["held"]) == ("snapshot-save", "debug")
        gdb.run("continue")
        assert monitor.answer()["number"] > 0
        assert gdb.interrupt()["reason"] == "signal-received"
        assert monitor.execute("snapshot-list")[0]["icount"] >= held_at
        monitor.execute("quit")
    assert session.finished.exit_code == 0, session.finished.stderr
    assert "waiting for cpu" not in session.finished.stderr
    home.verify_both_ways(path)


@pytest.mark.parametrize("how", ["run", "record"])
def test_ctrl_c_ends_a_machine_that_gdb_holds(home: Home, how: str) -> None:
    path = home.work / "held.dejavm"
    output = ("-o", path) if how == "record" else ()
    with attended(home, how, *arguments(home, "traps", *output), "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"hbreak *{FILL_LOOP:#x}")
        gdb.go("continue")
        session.running.signal(signal.SIGINT)
    assert session.finished.exit_code in (0, 130), session.finished.stderr
    if how == "record":
        home.verify_both_ways(path)


def test_a_dead_gdb_lets_the_machine_go(home: Home) -> None:
    with attended(home, "run", *arguments(home, "aging"), "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"break *{FILL_LOOP:#x}")
        gdb.go("continue")
        # Killed while the machine stands at a breakpoint that comes again and again.
    assert session.finished.exit_code == 0, session.finished.stderr


def test_the_end_of_the_machine_is_told(home: Home) -> None:
    with attended(home, "run", *arguments(home, "traps"), "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        assert gdb.go("continue")["reason"] in ("exited-normally", "exited")
    assert session.finished.exit_code == 0, session.finished.stderr


def test_a_replay_with_devices_has_a_gdb_too(home: Home) -> None:
    recording = home.record(*arguments(home, "traps"))
    with attended(home, "replay", recording, "--devices", "live", "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"hbreak *{FILL_LOOP:#x}")
        gdb.go("continue")
        assert gdb.pc == FILL_LOOP
        with pytest.raises(AssertionError, match="no recording"):
            gdb.tell("set var $t0 = 5")
        gdb.tell("delete")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr


def test_a_place_where_gdb_cannot_come_is_named(home: Home) -> None:
    words = arguments(home, "traps")
    assert "remote=on" in home.run("run", *words, "--gdb", "tcp:0.0.0.0:1234").complaint
    done = home.run("run", *words, "--gdb", "unix:/nowhere/gdb")
    assert done.exit_code == 2
    assert "/nowhere/gdb" in done.complaint
