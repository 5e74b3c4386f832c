"""Stock gdb at the level of a program's source, forwards and backwards, with symbols and line numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.board import RAM_BASE
from tests.harness.gdb import Gdb, served
from tests.harness.guests import guest

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

GUEST_MAIN = ("guest_main", 34)
MIDDLE_CALLS = (("middle", 17), ("middle", 18))
IN_USER_SPACE = 2_260_872
"""An instruction count at which tests/guests/aspaces.c runs its program."""
LEAF = (("leaf", 10), ("leaf", 11), ("leaf", 12))
LAST_OF_LEAF = ("leaf", 13)
"""Lines of tests/guests/calls.c."""


def place(gdb: Gdb) -> tuple[str, int]:
    """The function and the line where the program stands."""
    words = gdb.tell("info symbol $pc").split()
    line = gdb.tell("info line *$pc").split("Line ")[1].split()[0]
    return words[0], int(line)


def test_lines_are_stepped_through_in_both_directions(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("calls"), "--serial", "null", "--sleep", "off")
    with served(home, recording) as server, Gdb(home) as gdb:
        gdb.attach(server)
        gdb.tell(f"file {guest('calls').with_suffix('.elf')}")
        gdb.tell("tbreak middle")
        gdb.go("continue")
        assert place(gdb) == MIDDLE_CALLS[0]
        # Into the call, through it, out of it.
        there = []
        for command in ("step", "next", "next"):
            gdb.go(command)
            there.append(place(gdb))
        assert tuple(there) == LEAF
        assert [int(gdb.value("twice")), gdb.value("total")] == [2, 2]
        # The same backwards.
        back = []
        for command in ("reverse-next", "reverse-next", "reverse-step"):
            gdb.go(command)
            back.append(place(gdb))
        assert tuple(back) == (LEAF[1], LEAF[0], MIDDLE_CALLS[0])
        assert gdb.value("total") == 0
        # Over the call, and back over it.
        gdb.go("next")
        assert (place(gdb), gdb.value("total")) == (MIDDLE_CALLS[1], 2)
        gdb.go("reverse-next")
        assert (place(gdb), gdb.value("total")) == (MIDDLE_CALLS[0], 0)


def test_functions_are_left_in_both_directions(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("calls"), "--serial", "null", "--sleep", "off")
    with served(home, recording) as server, Gdb(home) as gdb:
        gdb.attach(server)
        gdb.tell(f"file {guest('calls').with_suffix('.elf')}")
        gdb.tell("tbreak leaf if n == 3")
        gdb.go("continue")
        frames = gdb.tell("bt")
        assert frames.index("leaf (n=3)") < frames.index("middle (n=2)") < frames.index("guest_main ()")
        gdb.go("finish")
        assert "Value returned is $1 = 6" in gdb.said
        assert place(gdb) == MIDDLE_CALLS[1]
        gdb.go("reverse-step")
        assert place(gdb) == LAST_OF_LEAF
        gdb.go("reverse-finish")
        assert place(gdb) == MIDDLE_CALLS[1]
        gdb.go("reverse-finish")
        assert place(gdb) == GUEST_MAIN
        assert "1" in gdb.tell("info threads")


@pytest.mark.parametrize(
    ("kind", "reason", "last", "before"),
    [
        ("rwatch", "read-watchpoint-trigger", "ld", "ld"),
        ("awatch", "access-watchpoint-trigger", "ld", "sd"),
        ("watch", "watchpoint-trigger", "sd", "sd"),
    ],
)
def test_each_kind_of_watchpoint_stands_in_front_of_its_access(
    home: Home, kind: str, reason: str, last: str, before: str
) -> None:
    recording = home.record("bare", "--kernel", guest("calls"), "--serial", "null", "--sleep", "off")
    with served(home, recording, "--until", "21000") as server, Gdb(home) as gdb:
        gdb.attach(server)
        gdb.tell(f"file {guest('calls').with_suffix('.elf')}")
        gdb.tell(f"{kind} total")
        for instruction in (last, before):
            assert gdb.go("reverse-continue")["reason"] == reason
            assert f"\t{instruction}\t" in gdb.tell("x/i $pc")
        # Forward gdb hears of it right behind the access.
        there = gdb.icount
        assert gdb.go("continue")["reason"] == reason
        assert gdb.icount == there + 1


def test_a_breakpoint_in_user_space_is_met_through_the_guest_s_page_tables(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("aspaces"), "--serial", "null", "--sleep", "off")
    with served(home, recording, "--until", str(IN_USER_SPACE)) as server, Gdb(home) as gdb:
        gdb.attach(server)
        assert gdb.value("$priv") == 0
        here = gdb.pc
        assert here < RAM_BASE or here > RAM_BASE << 1
        assert "bnez" in gdb.tell("x/i $pc")
        gdb.tell(f"hbreak *{here:#x}")
        for _ in range(2):
            assert gdb.go("reverse-continue")["reason"] == "breakpoint-hit"
            assert (gdb.pc, gdb.value("$priv")) == (here, 0)
        # The same code by its physical address.
        gdb.tell("maint packet Qqemu.PhyMemMode:1")
        assert gdb.value("*(unsigned *)0x80200000") == int.from_bytes(guest("aspaces").read_bytes()[:4], "little")
