"""Where a watchpoint stops, as stock gdb shows it: right behind the access and not one instruction further."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from machine.codec import decode
from machine.message import DmaWrite
from machine.recording.reader import Recording
from tests.harness.gdb import Gdb, attended, served
from tests.harness.guests import BARE, DMACOPY, guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

WORD = 0x8020_4040
"""Filled by the CPU with a5, then written by the device."""
HITS = 3
FILLED = "-6510615555426900571"


class Shown(NamedTuple):
    """What gdb shows of one stop."""

    pc: int
    icount: int
    old: str
    new: str
    device: str


def arguments(home: Home, *more: str | Path) -> tuple[str | Path, ...]:
    """A guest whose device writes to memory."""
    board = home.file("board.toml", BARE + DMACOPY)
    return (board, "--kernel", guest("dma"), "--serial", "null", "--sleep", "off", *more)


def shown(gdb: Gdb, line: str) -> Shown:
    """Go on to the next hit."""
    stop = gdb.go(line)
    assert stop["reason"] == "watchpoint-trigger", (stop, gdb.said)
    device = "".join(re.findall(r"(\w+) wrote \d+ bytes .* by DMA", gdb.said))
    return Shown(gdb.pc, gdb.icount, stop["value"]["old"], stop["value"]["new"], device)


def hits(gdb: Gdb) -> list[Shown]:
    """The first ones from power-on."""
    gdb.tell(f"watch *(long *){WORD:#x}")
    return [shown(gdb, "continue") for _ in range(HITS)]


def test_the_stop_is_right_behind_the_access_in_run_record_and_replay_and_right_before_it_backwards(home: Home) -> None:
    recording = home.work / "dma.dejavm"
    found = {}
    for how in ("run", "record"):
        words = (how, *arguments(home), *(("-o", recording) if how == "record" else ()), "-S")
        with attended(home, *words) as session, Gdb(home) as gdb:
            gdb.attach(session.place)
            found[how] = hits(gdb)
            if how == "run":
                gdb.tell("kill")
        (home.work / "gdb").unlink(missing_ok=True)
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        forward = hits(gdb)
        assert found == {"run": forward, "record": forward}
        assert [(hit.new, hit.device) for hit in forward[:2]] == [(FILLED, ""), (forward[1].new, "dma0")]
        assert [forward[0].old, forward[2].old] == ["0", forward[1].new]
        for hit in reversed(forward):
            back = shown(gdb, "reverse-continue")
            assert (back.icount, back.device) == (hit.icount - 1, hit.device)
            assert (back.old, back.new) == (hit.new, hit.old)
            gdb.go("stepi")  # over the access
            assert (gdb.pc, gdb.icount) == (hit.pc, hit.icount)
            assert gdb.value(f"*(long *){WORD:#x}") == int(hit.new)
            gdb.go("reverse-stepi")
            assert (gdb.pc, gdb.icount) == (back.pc, back.icount)
            assert re.search(r"\ts[bhwd]\t", gdb.tell("x/i $pc"))
    writes = [f.icount for f in Recording.open(recording).frames() if isinstance(decode(f.type, f.payload), DmaWrite)]
    assert forward[1].icount == writes[0] + 1


def test_a_read_and_an_access_are_stopped_behind_too(home: Home) -> None:
    recording = home.record(*arguments(home))
    with served(home, recording, "--until", "1560000") as place, Gdb(home) as gdb:
        gdb.attach(place)
        for kind, reason in (("rwatch", "read-watchpoint-trigger"), ("awatch", "access-watchpoint-trigger")):
            gdb.tell(f"{kind} *(long *){WORD:#x}")
            assert gdb.go("reverse-continue")["reason"] == reason
            before = (gdb.pc, gdb.icount)
            assert re.search(r"\tl[bhwd]u?\t", gdb.tell("x/i $pc"))
            assert gdb.go("continue")["reason"] == reason
            assert gdb.icount == before[1] + 1
            gdb.tell("delete")
            gdb.go("reverse-stepi")
            assert (gdb.pc, gdb.icount) == before


def test_a_step_onto_a_watched_word_is_one_step(home: Home) -> None:
    recording = home.record(*arguments(home))
    with served(home, recording) as place, Gdb(home) as gdb:
        gdb.attach(place)
        first = hits(gdb)[0]
        gdb.seek(first.icount - 1)
        assert shown(gdb, "stepi")[:2] == first[:2]
        gdb.go("stepi")
        assert gdb.icount == first.icount + 1
        # A breakpoint where a watchpoint stops is met once.
        gdb.tell(f"hbreak *{first.pc:#x}")
        gdb.seek(first.icount - 1)
        gdb.go("continue")
        assert gdb.icount == first.icount
        gdb.go("continue")
        assert gdb.icount > first.icount
