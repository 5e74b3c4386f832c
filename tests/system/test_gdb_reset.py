"""Stock gdb in front of a machine that begins anew: breakpoints and watchpoints hold over it, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.codec import type_of
from machine.icount import CPU
from machine.message import Reset
from machine.recording.reader import Recording
from tests.harness.gdb import Gdb, attended, served
from tests.harness.guests import guest
from tests.harness.machine import final_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ENTRY = 0x8020_0000
FAR = 0x8100_0000
"""A word that tests/guests/restart.c finds zero and sets, each time anew."""
SET = "23130"
HANDS = "".join(f'expect UP\nsend "{letter}"\n' for letter in "cwtq")
RESTARTS = 3
Stops = list[tuple[int, int]]


def entries(gdb: Gdb) -> Stops:
    """Where the guest is entered anew, from power-on."""
    gdb.tell(f"hbreak *{ENTRY:#x}")
    found = []
    for _ in range(RESTARTS):
        assert gdb.go("continue")["reason"] == "breakpoint-hit"
        found.append((gdb.pc, gdb.icount))
        assert gdb.value(f"*(long *){FAR:#x}") == 0
    return found


def resets_of(recording: Path) -> list[int]:
    """Where the CPU was reset, from power-on."""
    return [f.icount for f in Recording.open(recording).frames() if (f.type, f.target) == (type_of(Reset), CPU)]


def test_breakpoints_hold_over_a_restart_in_record_and_replay(home: Home) -> None:
    recording = home.work / "restarted.dejavm"
    words = ("bare", "--kernel", guest("restart"), "--serial", home.script(HANDS), "--sleep", "off", "-o", recording)
    with attended(home, "record", *words, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        live = entries(gdb)
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    resets = resets_of(recording)
    assert live == [(ENTRY, icount) for icount in resets]
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        there = entries(gdb)
        assert there == live
        for entry in reversed(there[:-1]):
            assert gdb.go("reverse-continue")["reason"] == "breakpoint-hit"
            assert (gdb.pc, gdb.icount) == entry
        # In front of the restart, and over it.
        gdb.go("reverse-stepi")
        assert "ecall" in gdb.tell("x/i $pc")
        assert gdb.value(f"*(long *){FAR:#x}") == int(SET)
        gdb.go("stepi")
        assert (gdb.pc, gdb.icount) == there[0]


@pytest.mark.parametrize("how", ["through it", "up to it and on"])
def test_the_store_that_restarts_the_machine_is_an_instruction_like_any_other(home: Home, how: str) -> None:
    words = ("bare", "--kernel", guest("restart"), "--serial", home.script(HANDS), "--sleep", "off")
    plain = home.record(*words)
    resets = resets_of(plain)
    with served(home, plain) as place, Gdb(home) as gdb:
        gdb.attach(place)
        # The second of the three letters restarts by a store, the others by a call of the firmware.
        gdb.seek(resets[2] - 1)
        store = gdb.pc
        assert "sw" in gdb.tell("x/i $pc")
        gdb.go("stepi")
        assert (gdb.pc, gdb.icount) == (store + 4, resets[2])
        gdb.go("stepi")
        assert (gdb.pc, gdb.icount) == (ENTRY, resets[2])
    recording = home.work / "looked-at.dejavm"
    with attended(home, "record", *words, "-o", recording, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"hbreak *{store:#x}")
        gdb.go("continue")
        if how == "through it":
            gdb.go("stepi")
        gdb.tell("delete")
        gdb.tell("detach")
    assert session.finished.exit_code == 0, session.finished.stderr
    assert final_digest(recording) == final_digest(plain)
    assert home.run("verify", recording).exit_code == 0


def test_a_branch_may_begin_at_the_store_that_restarts_the_machine(home: Home) -> None:
    words = ("bare", "--kernel", guest("restart"), "--serial", home.script(HANDS), "--sleep", "off")
    plain = home.record(*words)
    resets = resets_of(plain)
    hands = home.script('expect UP\nsend "q"\nexpect PASS\n')
    branch = home.work / "branch.dejavm"
    done = home.run("branch", f"{plain}@{resets[2]}", "--serial", hands, "-o", branch)
    assert done.exit_code == 0, done.stderr
    assert home.run("verify", branch).exit_code == 0


def test_a_restart_is_a_write_to_memory_that_is_watched(home: Home) -> None:
    words = ("bare", "--kernel", guest("restart"), "--serial", home.script(HANDS), "--sleep", "off")
    recording = home.record(*words)
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"watch *(long *){FAR:#x}")
        stops, changes = [], []
        for _ in range(2 * RESTARTS + 1):
            stop = gdb.go("continue")
            assert ("the machine has begun anew" in gdb.said) == (stop["value"]["new"] == "0")
            stops.append((gdb.pc, gdb.icount))
            changes.append((stop["value"]["old"], stop["value"]["new"]))
        assert changes == [("0", SET), *((SET, "0"), ("0", SET)) * RESTARTS]
        assert [pc for pc, _ in stops[1::2]] == [ENTRY] * RESTARTS
        back = []
        for _, icount in reversed(stops):
            stop = gdb.go("reverse-continue")
            back.append((stop["value"]["new"], stop["value"]["old"]))
            assert gdb.icount in (icount, icount - 1)
        assert back == changes[::-1]


def test_live_too(home: Home) -> None:
    words = ("bare", "--kernel", guest("restart"), "--serial", home.script(HANDS), "--sleep", "off")
    with attended(home, "run", *words, "-S") as session, Gdb(home) as gdb:
        gdb.attach(session.place)
        gdb.tell(f"watch *(long *){FAR:#x}")
        assert gdb.go("continue")["value"]["new"] == SET
        assert gdb.go("continue")["value"] == {"old": SET, "new": "0"}
        assert "the machine has begun anew" in gdb.said
        assert gdb.pc == ENTRY
        assert gdb.go("continue")["value"]["new"] == SET
        gdb.tell("kill")
    assert session.finished.exit_code == 0, session.finished.stderr
