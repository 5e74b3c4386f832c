"""A watchpoint that is looked for at full speed stops exactly where one stops that is looked for at each access."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpu_node._engine import HIT_DEVICE, HIT_READ, HIT_WRITE
from machine.board import RAM_BASE
from machine.errors import EXIT_USAGE
from machine.recording.reader import Recording
from tests.harness.guests import BARE, DMACOPY, guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

NEVER = 1 << 60
BOTH = HIT_READ | HIT_WRITE
FILLED = 0x8020_4040
"""What the guest `dma` fills and its device copies to."""
BUSY = 0x8020_2000
"""Where the guest `compute` writes millions of times."""
FAR = 0x8100_0000
"""What the guest `restart` finds zero and sets, each time anew."""
STACK = 0x8020_8000
HANDS = "".join(f'expect UP\nsend "{letter}"\n' for letter in "cwtq")


@dataclass(frozen=True)
class Asked:
    """Recordings are far shorter than a real guest's, so the pace is too."""

    watches: tuple[tuple[int, int, int], ...]
    breaks: tuple[int, ...] = ()
    most: int = 12
    back: tuple[int, ...] = ()
    spacing: int = 2_000_000
    slowly: int = 50_000

    def of(self, recording: Path, *, slow: bool = False, blind: bool = False) -> dict[str, Any]:
        """`slow`: without any scout, so each access is looked at."""
        request = {
            "watches": self.watches,
            "breaks": self.breaks,
            "most": self.most,
            "back": self.back,
            "spacing": self.spacing,
            "slowly": NEVER if slow else self.slowly,
            "blind": blind,
        }
        command = [sys.executable, "-P", "-m", "tests.harness.stops", str(recording), json.dumps(request)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def watch(address: int, size: int = 8, kinds: int = HIT_WRITE) -> tuple[int, int, int]:
    """One, as the timeline has it."""
    return address, address + size - 1, kinds


def record(home: Home, name: str) -> Path:
    """A run with accesses by the CPU and by a device, or with restarts."""
    if name == "dma":
        board, serial = str(home.file("board.toml", BARE + DMACOPY)), "null"
    else:
        board, serial = "bare", str(home.script(HANDS))
    return home.record(board, "--kernel", guest(name), "--serial", serial, "--sleep", "off", name=name)


def compared(recording: Path, asked: Asked) -> list[Any]:
    """The stops, which are the same with scouts, of which there are some, and without."""
    slow, fast = asked.of(recording, slow=True), asked.of(recording)
    assert (slow["scouts"], fast["there"]) == (0, slow["there"])
    assert fast["scouts"] > 0
    there: list[Any] = slow["there"]
    return there


def test_a_scout_changes_no_stop_at_what_the_guest_and_its_device_do(home: Home) -> None:
    recording = record(home, "dma")
    there = compared(recording, Asked((watch(FILLED),)))
    assert any(met and met[0] & HIT_DEVICE for _, _, _, met in there)
    assert any(met and not met[0] & HIT_DEVICE for _, _, _, met in there)
    assert compared(recording, Asked((watch(FILLED, kinds=HIT_READ), watch(FAR, 3 << 12)), most=6))[0][0] == "watch"
    assert compared(recording, Asked((watch(FILLED, 1, BOTH), watch(FILLED + 8))))[0][0] == "watch"


def test_a_scout_changes_no_stop_where_the_machine_begins_anew(home: Home) -> None:
    recording = record(home, "restart")
    there = compared(recording, Asked((watch(FAR),), spacing=40_000, slowly=1_000))
    assert [met[5] for _, _, _, met in there if met].count("reset") > 1
    compared(recording, Asked((watch(FAR, 4, BOTH),), spacing=NEVER, slowly=1_000))


def test_breakpoints_are_met_among_watchpoints(home: Home) -> None:
    recording = record(home, "dma")
    hits = Asked((watch(FILLED),)).of(recording, slow=True)["there"]
    # Where the CPU stands while its device writes, and a word that nobody touches.
    asked = Asked((watch(FAR),), breaks=tuple({pc for _, _, pc, met in hits if met and met[0] & HIT_DEVICE}), most=6)
    assert compared(recording, asked)[0][0] == "break"


def test_going_back_finds_the_last_that_going_forward_met(home: Home) -> None:
    recording = record(home, "dma")
    asked = Asked((watch(FILLED, kinds=BOTH),), most=400)
    there = asked.of(recording, slow=True)["there"]
    hits = [met for why, _, _, met in there if why == "watch"]
    end = Recording.open(recording).end_icount
    places = tuple(range(end // 20, end, end // 20))
    back = Asked(asked.watches, most=0, back=places).of(recording)
    expected = [next((met for met in reversed(hits) if met[1] < place), None) for place in places]
    assert [met for _, _, _, met in back["back"]] == expected
    assert len({tuple(met) for met in expected if met}) > 1
    assert back["scouts"] > len(places)


def test_an_analysis_hears_of_each_write_that_a_debugger_stops_at(home: Home) -> None:
    recording = record(home, "dma")
    for watched in ((FILLED + 3, 1), (FAR, 8)):
        there = Asked((watch(*watched),), most=100_000).of(recording, slow=True)["there"]
        stops = [[icount, pc, device] for why, *_, (_, icount, pc, _, _, device) in there[:-1] if why == "watch"]
        assert len(stops) == len(there) - 1
        done = home.run("analyse", recording, "--ask", "writes", *map(str, watched), "--jobs", "1")
        assert [row[:3] for row in json.loads(done.stdout)] == stops


def test_an_answer_that_would_fill_memory_is_refused_and_says_how_far_it_came(home: Home) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("compute"))
    done = home.run("analyse", recording, "--ask", "writes", hex(BUSY), "4096")
    assert done.exit_code == EXIT_USAGE
    rows, icount = (int(word.replace(",", "")) for word in re.findall(r"([0-9,]+) (?:rows|are)", done.complaint))
    assert 10_000 < rows < icount < Recording.open(recording).end_icount


def test_guards_that_do_not_tell_would_be_found_out(home: Home) -> None:
    recording = record(home, "dma")
    asked = Asked((watch(FILLED),))
    assert asked.of(recording, blind=True)["there"] != asked.of(recording)["there"]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    watches=st.lists(
        st.tuples(
            st.sampled_from((FILLED, RAM_BASE + 0x20_0000, STACK, FAR)),
            st.integers(-64, 64),
            st.sampled_from((1, 2, 8, 24, 5000)),
            st.sampled_from((HIT_READ, HIT_WRITE, BOTH)),
        ).map(lambda drawn: watch(drawn[0] + drawn[1], drawn[2], drawn[3])),
        min_size=1,
        max_size=3,
    ),
    spacing=st.integers(800_000, 40_000_000),
    slowly=st.integers(1, 4_000_000),
)
def test_whatever_is_watched_at_whatever_pace(
    home: Home, watches: list[tuple[int, int, int]], spacing: int, slowly: int
) -> None:
    recording = home.work / "dma.dejavm"
    if not recording.exists():
        record(home, "dma")
    asked = Asked(tuple(watches), most=8, spacing=spacing, slowly=slowly)
    assert asked.of(recording)["there"] == asked.of(recording, slow=True)["there"]
