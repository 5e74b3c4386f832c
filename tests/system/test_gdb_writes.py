"""What gdb changes in a machine that is recorded is an input: the recording replays with it, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.codec import decode
from machine.message import DebuggerWrite, Rouse
from machine.recording.reader import Recording
from tests.harness.gdb import Gdb, attended, served
from tests.harness.guests import BARE, guest
from tests.harness.machine import console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

HANDLER = 0x8020_A000
"""Where the traps of tests/guests/traps.c go."""
SYMBOLS = guest("calls").with_suffix(".elf")


def changes(recording: Path) -> list[DebuggerWrite | Rouse]:
    """What gdb has changed in a recording."""
    messages = (decode(frame.type, frame.payload) for frame in Recording.open(recording).frames())
    return [message for message in messages if isinstance(message, DebuggerWrite | Rouse)]


def check_history(home: Home, recording: Path) -> None:
    """gdb in front of the recording meets what gdb has changed, there and back."""
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"file {SYMBOLS}")
        gdb.tell("break leaf")
        for _ in range(3):
            gdb.go("continue")
        gdb.go("stepi")
        gdb.go("stepi")
        assert gdb.value("n") == 100
        assert gdb.value("(long)($ft0.double * 2)") == 3
        there = (gdb.pc, gdb.icount, gdb.value("total"))
        gdb.tell("delete")
        gdb.go("continue")
        gdb.tell(f"monitor seek {there[1]}")
        gdb.tell("maintenance flush register-cache")
        assert (gdb.pc, gdb.icount, gdb.value("total")) == there


def test_what_gdb_changes_is_in_the_recording(home: Home) -> None:
    recording = home.work / "changed.dejavm"
    words = ("bare", "--kernel", guest("calls"), "--serial", "null", "--sleep", "off", "-o", recording)
    with attended(home, "record", *words, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"file {SYMBOLS}")
        gdb.tell("set var $s11 = 0x1234")
        gdb.tell("break leaf")
        for _ in range(3):
            assert gdb.go("continue")["reason"] == "breakpoint-hit"
            # Memory where several changes meet, then registers of each kind one instruction later.
            gdb.tell("set var n = 100")
            gdb.tell("set var total = total + 1")
            gdb.go("stepi")
            gdb.tell("set var $ft0.double = 1.5")
            gdb.tell("set var $sscratch = 0x77")
        gdb.tell("delete")
        gdb.tell("break down if n == 2")
        gdb.go("continue")
        gdb.tell("return (unsigned long) 5000")
        gdb.tell("delete")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    # 200 from each of three calls, 2 * (2 + 3 + 4) from the others, 5000 + 2 from down().
    assert b"sum 56" in console(recording)
    assert {"s11", "ft0", "sscratch", "pc"} <= {m.register for m in changes(recording) if isinstance(m, DebuggerWrite)}
    home.verify_both_ways(recording)
    check_history(home, recording)


def test_a_place_where_gdb_has_written_is_the_same_however_it_is_reached(home: Home) -> None:
    recording = home.work / "changed.dejavm"
    words = ("bare", "--kernel", guest("calls"), "--serial", "null", "--sleep", "off", "-o", recording)
    with attended(home, "record", *words, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"file {SYMBOLS}")
        gdb.tell("tbreak leaf")
        gdb.go("continue")
        at = gdb.icount
        for value in (777, 778):
            gdb.tell(f"set var total = {value}")
            gdb.go("stepi")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"file {SYMBOLS}")
        gdb.tell("tbreak leaf")
        gdb.go("continue")
        met = []
        for line in ("stepi", "stepi", "reverse-stepi", "reverse-stepi", "reverse-stepi", "stepi"):
            met.append((gdb.icount - at, gdb.value("total")))
            gdb.go(line)
        assert met == [(0, 777), (1, 778), (2, 778), (1, 778), (0, 777), (-1, 0)]
        for away, value in ((1, 778), (-1, 0), (0, 777)):
            gdb.seek(at + away)
            assert gdb.value("total") == value
        # Who wrote this?  gdb did.
        gdb.seek(at + 1)
        gdb.tell("watch total")
        for old, new in (("778", "777"), ("777", "0")):
            assert gdb.go("reverse-continue")["value"] == {"old": old, "new": new}
            assert "gdb wrote 8 bytes at" in gdb.said
        for old, new in (("0", "777"), ("777", "778"), ("778", "780")):
            assert gdb.go("continue")["value"] == {"old": old, "new": new}
            assert ("gdb wrote 8 bytes at" in gdb.said) == (new != "780")
    home.verify_both_ways(recording)


def test_what_gdb_changes_in_a_branch_is_in_the_branch(home: Home) -> None:
    parent = home.record("bare", "--kernel", guest("calls"), "--serial", "null", "--sleep", "off")
    child = home.work / "child.dejavm"
    with attended(home, "branch", f"{parent}@20000", "-o", child, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"file {SYMBOLS}")
        gdb.tell("tbreak leaf")
        gdb.go("continue")
        gdb.tell("set var total = 1000")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    assert b"total 32" in console(parent)
    assert b"total 1032" in console(child)
    home.verify_both_ways(child)


def test_a_trap_s_handler_is_a_place_to_change_things_at(home: Home) -> None:
    recording = home.work / "traps.dejavm"
    board = home.file("board.toml", BARE)
    words = (board, "--kernel", guest("traps"), "--serial", "null", "--sleep", "off", "-o", recording)
    with attended(home, "record", *words, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"hbreak *{HANDLER:#x}")
        for _ in range(8):
            gdb.go("continue")
            gdb.tell("set var $frm = ($frm + 1) & 3")
            gdb.tell("set var $sstatus = $sstatus ^ 0x40000")
            gdb.tell("set var *(long *)0x80380000 = $scause")
            gdb.go("stepi")
            gdb.tell("set var *(long *)0x80380008 = $sepc")
        gdb.tell("delete")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    assert len(changes(recording)) == 32
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"hbreak *{HANDLER:#x}")
        there = []
        for line in ("continue",) * 8 + ("reverse-continue",) * 7:
            gdb.go(line)
            there.append((gdb.icount, gdb.value("$frm"), gdb.value("$sstatus"), gdb.value("*(long *)0x80380000")))
        assert there[8:] == there[6::-1]
    home.verify_both_ways(recording)


def test_a_sleeping_guest_is_woken_to_be_changed(home: Home) -> None:
    recording = home.work / "nap.dejavm"
    words = ("bare", "--kernel", guest("nap"), "--serial", "file:con", "--sleep", "on", "-o", recording)
    with attended(home, "record", *words) as session, Gdb(home) as gdb:
        home.await_bytes(home.work / "con", b"asleep")
        gdb.attach(session.place)
        gdb.tell("set var *(long *)0x80380000 = 77")
        assert gdb.value("*(long *)0x80380000") == 77
        assert "wfi" in gdb.tell("x/i $pc - 4")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    assert any(isinstance(message, Rouse) for message in changes(recording))
    home.verify_both_ways(recording)
