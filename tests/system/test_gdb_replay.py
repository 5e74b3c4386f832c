"""Stock gdb in front of a recording: forwards, backwards, and away in the middle of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from machine.board import RAM_BASE
from machine.codec import decode
from machine.message import DmaWrite, HostEvent, HostInput
from machine.recording.reader import Recording
from tests.harness.gdb import Gdb, served
from tests.harness.guests import BARE, DMACOPY, guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ENTRY = 0x8020_0000
FILL_LOOP = 0x8020_0028
"""An instruction of rt.S that runs once for each eight bytes of memory it clears."""
EXTERNAL = 1 << 9
"""An external interrupt is pending (sip)."""


def record(home: Home, name: str, board: str = BARE) -> Path:
    """A closed guest's run."""
    return home.record(
        home.file("board.toml", board), "--kernel", guest(name), "--serial", "null", "--sleep", "off", name=name
    )


def is_at_an_end(gdb: Gdb, line: str) -> bool:
    """Whether a command comes to an end of the history; gdb gives no reason for it then, it says it."""
    return "reason" not in gdb.go(line) and "No more reverse-execution history" in gdb.said


def test_a_step_enters_a_trap_and_returns_from_it(home: Home) -> None:
    with served(home, record(home, "traps")) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.seek(700_000)
        handler = gdb.value("$stvec")
        gdb.tell(f"hbreak *{handler:#x}")
        gdb.go("continue")
        gdb.tell("delete")
        entered = gdb.icount
        gdb.go("reverse-stepi")
        gdb.go("stepi")
        assert (gdb.pc, gdb.icount) == (handler, entered)
        while "sret" not in gdb.tell("x/i $pc"):
            gdb.go("stepi")
        back, returns = gdb.value("$sepc"), gdb.icount
        gdb.go("stepi")
        assert (gdb.pc, gdb.icount) == (back, returns + 1)


def test_ten_steps_forward_and_ten_back_meet_the_same_addresses(home: Home) -> None:
    with served(home, record(home, "traps")) as place, Gdb(home) as gdb:
        gdb.attach(place)
        assert gdb.pc == ENTRY
        gdb.tell("monitor seek 100000")
        gdb.tell("maintenance flush register-cache")
        there = [gdb.pc]
        for _ in range(10):
            gdb.go("stepi")
            there.append(gdb.pc)
        assert gdb.icount == 100_010
        back = [there[-1]]
        for _ in range(10):
            gdb.go("reverse-stepi")
            back.append(gdb.pc)
        assert back == there[::-1]
        assert gdb.icount == 100_000


def test_going_back_stops_at_each_of_ten_breakpoints_in_the_other_order(home: Home) -> None:
    with served(home, record(home, "counters")) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"break *{FILL_LOOP:#x}")
        there = []
        for _ in range(10):
            assert gdb.go("continue")["reason"] == "breakpoint-hit"
            there.append(gdb.icount)
        back = [there[-1]]
        for _ in range(9):
            stop = gdb.go("reverse-continue")
            assert stop["reason"] == "breakpoint-hit"
            assert int(stop["frame"]["addr"], 16) == FILL_LOOP
            back.append(gdb.icount)
        assert back == there[::-1]


def test_a_breakpoint_where_something_comes_in_shows_the_same_from_both_sides(home: Home) -> None:
    hands = home.script('expect UP\nsend "c"\nexpect UP\nsend "q"\n')
    recording = home.record("bare", "--kernel", guest("restart"), "--serial", hands, "--sleep", "off")
    came = [(frame.icount, decode(frame.type, frame.payload)) for frame in Recording.open(recording).frames()]
    comes_at = next(at for at, message in came if isinstance(message, HostInput) and message.event is HostEvent.DATA)
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.seek(comes_at)
        assert gdb.value("$sip") == 0  # in front of it
        gdb.tell(f"hbreak *{gdb.pc}")
        gdb.seek(0)
        there = []
        for line in ("continue", "continue", "reverse-continue"):
            assert gdb.go(line)["reason"] == "breakpoint-hit"
            there.append((gdb.tell("monitor when"), gdb.tell("info all-registers")))
        assert there[0] == there[2] != there[1]
        assert gdb.icount == comes_at
        assert gdb.value("$sip") == EXTERNAL
        # Nothing is behind it that was met before.
        gdb.go("reverse-stepi")
        assert gdb.icount == comes_at - 1
        assert gdb.go("continue")["reason"] == "breakpoint-hit"
        assert (gdb.tell("monitor when"), gdb.tell("info all-registers")) == there[0]


def test_both_ends_of_the_history_are_told(home: Home) -> None:
    recording = record(home, "counters")
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        assert is_at_an_end(gdb, "reverse-stepi")
        assert is_at_an_end(gdb, "continue")
        assert gdb.icount == Recording.open(recording).end_icount
        assert is_at_an_end(gdb, "continue")
        gdb.tell("break *0x10")
        assert is_at_an_end(gdb, "reverse-continue")
        assert (gdb.pc, gdb.icount) == (ENTRY, 0)


def test_a_watchpoint_finds_the_last_writer_the_device_and_then_the_cpu(home: Home) -> None:
    recording = record(home, "dma", BARE + DMACOPY)
    messages = [(frame.icount, decode(frame.type, frame.payload)) for frame in Recording.open(recording).frames()]
    writes = [(icount, m) for icount, m in messages if isinstance(m, DmaWrite)]
    # The eighth copy of data: behind it the buffer is filled anew by the CPU.
    icount, eighth = writes[7]
    word = (eighth.address + 8) & ~7
    end = writes[8][0] - 1
    with served(home, recording, "--until", str(end)) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell(f"watch *(long *){word:#x}")
        stop = gdb.go("reverse-continue")
        assert stop["reason"] == "watchpoint-trigger", stop
        filled = gdb.icount
        assert icount < filled < end
        assert int(stop["value"]["old"]) & 0xFF == 0xA5
        while (stop := gdb.go("reverse-continue"))["reason"] == "watchpoint-trigger" and "by DMA" not in gdb.said:
            assert icount < gdb.icount < filled
        assert f"dma0 wrote {len(eighth.data)} bytes at {eighth.address:#x} by DMA, icount {icount}" in gdb.said
        assert gdb.icount == icount
        # And forward again: the device's write is met behind it.
        stop = gdb.go("continue")
        assert "by DMA" in gdb.said
        assert stop["reason"] == "watchpoint-trigger"
        assert icount < gdb.icount < filled


def test_what_the_machine_holds_is_shown_and_not_changed(home: Home) -> None:
    recording = record(home, "traps")
    image = guest("traps").read_bytes()
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        assert gdb.value(f"*(unsigned *){ENTRY:#x}") == int.from_bytes(image[:4], "little")
        assert gdb.value("$priv") == 1
        assert gdb.value("$satp") == 0
        assert gdb.value("$instret") == 0
        assert gdb.value("$a1") > RAM_BASE
        with pytest.raises(AssertionError, match="branch first"):
            gdb.tell("set var $t0 = 5")
        with pytest.raises(AssertionError, match="Cannot access memory"):
            gdb.tell(f"set var *(int *){ENTRY:#x} = 5")
        with pytest.raises(AssertionError, match="Cannot access memory"):
            gdb.tell("output *(char *)0x10000000")
        gdb.tell(f"break *{ENTRY + 8:#x}")
        gdb.go("continue")
        assert gdb.value(f"*(unsigned *){ENTRY + 8:#x}") == int.from_bytes(image[8:12], "little")
        assert "Checkpoint 1 at icount 2" in gdb.tell("monitor checkpoint")
        gdb.go("stepi")
        gdb.tell("monitor restart 1")
        gdb.tell("maintenance flush register-cache")
        assert gdb.icount == 2
        assert " > " in gdb.tell("monitor events")
        assert "Replaying execution" in gdb.tell("monitor info replay")
        assert "outside the recording" in gdb.tell("monitor seek 99999999999")


def test_an_interrupt_is_answered_in_a_long_search_and_the_machine_has_not_moved(home: Home) -> None:
    with served(home, record(home, "aging")) as place, Gdb(home) as gdb:
        gdb.attach(place)
        gdb.go("continue")
        before = (gdb.pc, gdb.icount)
        # Each of millions of accesses is looked at: nothing will be found soon.
        gdb.tell(f"watch *(char (*)[1048576]){RAM_BASE + (60 << 20):#x}")
        gdb.run("reverse-continue")
        stop = gdb.interrupt()
        if stop.get("reason") == "signal-received":
            assert (gdb.pc, gdb.icount) == before
        else:  # the search was over by then
            assert gdb.icount == 0


def test_a_gdb_that_dies_in_the_middle_of_a_search_leaves_the_server_to_the_next(home: Home) -> None:
    with served(home, record(home, "aging")) as place:
        with Gdb(home) as first:
            first.attach(place)
            first.go("continue")
            end = first.icount
            first.tell(f"watch *(char (*)[1048576]){RAM_BASE + (60 << 20):#x}")
            first.run("reverse-continue")
        with Gdb(home) as second:
            second.attach(place)
            assert second.icount in (0, end)
            second.tell("detach")
            second.attach(place)
            second.go("reverse-stepi")
            second.tell("kill")


def test_a_long_seek_is_given_up_and_left_in_the_middle(home: Home) -> None:
    with served(home, record(home, "timer")) as place:
        with Gdb(home) as first:
            first.attach(place)
            first.tell("set remotetimeout 1")  # less than a slow host takes: gdb says so and waits on
            first.tell("monitor seek 100000000")
            first.tell("maintenance flush register-cache")
            there = (first.pc, first.icount)
            assert there[1] == 100_000_000
            assert first.give_up("monitor seek 60000000") in ("gdb has given up", "it was there already")
            first.tell("maintenance flush register-cache")
            assert (first.pc, first.icount) == there or first.icount == 60_000_000
            first.start("monitor seek 30000000")
        with Gdb(home) as second:
            second.attach(place)
            assert second.icount in (30_000_000, 60_000_000, 100_000_000)
            second.tell("monitor seek 100000000")
            second.tell("maintenance flush register-cache")
            assert (second.pc, second.icount) == there


def looks(home: Home, recording: Path) -> list[str]:
    """What gdb sees at some places of a recording, the last one first."""
    found = []
    with served(home, recording, "--until", "100000000") as place, Gdb(home) as gdb:
        gdb.attach(place)
        for target in (100_000_000, 90_000_000, 1_000, 95_000_000, 0):
            gdb.tell(f"monitor seek {target}")
            gdb.tell("maintenance flush register-cache")
            found += [gdb.tell("monitor when"), gdb.tell("info registers"), gdb.tell("x/64xw 0x80208f00")]
            gdb.go("stepi")
            gdb.go("reverse-stepi")
            assert gdb.icount == target
    return found


def test_a_history_that_is_entered_at_a_snapshot_is_the_same(home: Home) -> None:
    recording = record(home, "timer")
    from_power_on = looks(home, recording)
    home.run("snapshots", recording, "--make", "30000000")
    assert len(home.run("snapshots", recording, "--json").json["snapshots"]) == 3
    assert looks(home, recording) == from_power_on


def test_a_branch_s_history_begins_with_the_branch(home: Home) -> None:
    parent, child = record(home, "traps"), home.work / "child.dejavm"
    done = home.run("branch", f"{parent}@500000", "-o", child)
    assert done.exit_code == 0, done.stderr
    with served(home, child) as place, Gdb(home) as gdb:
        gdb.attach(place)
        begin = gdb.icount
        assert begin >= 500_000
        assert "outside the recording" in gdb.tell("monitor seek 1000")
        gdb.go("stepi")
        gdb.go("reverse-stepi")
        assert gdb.icount == begin
        assert is_at_an_end(gdb, "reverse-stepi")
        assert is_at_an_end(gdb, "continue")
        assert is_at_an_end(gdb, "reverse-continue")
        assert gdb.icount == begin


def test_a_killed_machine_ends_its_server(home: Home) -> None:
    place = home.work / "gdb"
    running = home.start("replay", record(home, "traps"), "--gdb", f"unix:{place}")
    home.await_path(place)
    with Gdb(home) as gdb:
        gdb.attach(place)
        gdb.tell("kill")
    assert running.finish().exit_code == 0


def test_dejavm_gdb_starts_both(home: Home) -> None:
    recording = record(home, "traps")
    lines = ("when", "seek 1000", "reverse-stepi", "when", "events")
    arguments = [word for line in lines for word in ("-ex", line)]
    done = home.run("gdb", recording, "--until", "5000", "--", "-nx", "--batch", *arguments)
    assert done.exit_code == 0, done.stderr
    said = done.stdout + done.stderr
    assert "icount 5000," in said
    assert "icount 999," in said


def test_the_server_says_what_is_wrong(home: Home) -> None:
    recording = record(home, "traps")
    assert home.run("replay", recording, "--gdb", "tcp:10.0.0.1:1234").exit_code == 2
    done = home.run("gdb", recording, "--program", "no-such-gdb")
    assert "apt install gdb-multiarch" in done.complaint
    for path, wrong in (("/nowhere/vmlinux", "cannot read symbols"), (guest("traps"), "neither an ELF file nor")):
        done = home.run("gdb", recording, "--symbols", path)
        assert (done.exit_code, f"{path}: {wrong}" in done.complaint) == (2, True)
    assert signal.SIGINT.name not in done.stderr
