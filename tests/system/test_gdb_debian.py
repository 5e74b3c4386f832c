"""Stock gdb in front of a recorded Debian boot: its kernel's symbols, and back to where it all began."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from deploy.bisection.symbols import read_map
from deploy.symbol_elf import symbol_elf
from machine.recording.reader import Recording
from tests.harness.gdb import Gdb, served
from tests.harness.machine import console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(400)]

SYMBOLS = ("_start_kernel", "start_kernel", "rest_init", "linux_banner", "jiffies_64")
BOOT_S = 120.0
REPLAY_S = 150.0
INITIAL_JIFFIES = (1 << 32) - 300 * 250
"""Five minutes before a wrap of 32 bits, of 250 a second (Linux, include/linux/jiffies.h)."""


def kallsyms(recording: Path) -> str:
    """What the guest has said of its kernel's addresses: a System.map."""
    rows = re.findall(rb"ffffffff[0-9a-f]{8} \w \w+", console(recording))
    return "\n".join(row.decode() for row in rows)


def watch_jiffies(gdb: Gdb) -> None:
    """Each tick adds one to them, in an instruction that is stopped behind, and in front of on the way back."""
    gdb.tell("delete")
    gdb.tell("watch *(unsigned long *)&jiffies_64")
    ticks = []
    for _ in range(3):
        value = gdb.go("continue")["value"]
        ticks.append((gdb.icount, int(value["old"]), int(value["new"])))
    assert all(new == old + 1 for _, old, new in ticks)
    assert [old for _, old, _ in ticks[1:]] == [new for _, _, new in ticks[:-1]]
    for icount, old, new in reversed(ticks):
        value = gdb.go("reverse-continue")["value"]
        assert (gdb.icount, int(value["old"]), int(value["new"])) == (icount - 1, new, old)
    gdb.tell("delete")


def watch_what_is_never_written(gdb: Gdb, end: int) -> None:
    """A scout runs ahead, and Ctrl-C stops where that has come to."""
    gdb.tell("watch *(long *)&linux_banner")
    somewhere = gdb.icount
    gdb.run("continue")
    assert gdb.interrupt()["reason"] == "signal-received"
    assert somewhere <= gdb.icount < end
    gdb.go("continue")
    assert "No more reverse-execution history" in gdb.said
    assert gdb.icount == end


def test_from_the_end_of_a_boot_back_to_start_kernel(home: Home) -> None:
    words = " ".join(f"-e {name}" for name in SYMBOLS)
    append = f"console=ttyS0 earlycon=sbi dejavm.run={quote(f'grep -w {words} /proc/kallsyms', safe='')}"
    recording = home.record("--append", append, "--serial", "null", "--sleep", "off", timeout_s=BOOT_S)
    symbols = home.work / "System.map"
    symbols.write_text(kallsyms(recording))
    vmlinux = home.work / "vmlinux"
    vmlinux.write_bytes(symbol_elf(read_map(io.BytesIO(symbols.read_bytes()))))
    with served(home, recording) as place, Gdb(home, REPLAY_S) as gdb:
        gdb.attach(place)
        gdb.tell(f"file {vmlinux}")
        gdb.run("continue")
        assert gdb.interrupt()["reason"] == "signal-received"
        somewhere = gdb.icount
        gdb.go("continue")
        assert "No more reverse-execution history" in gdb.said
        end = gdb.icount
        assert somewhere < end == Recording.open(recording).end_icount
        assert gdb.tell("x/s &linux_banner").partition('"')[2].startswith("Linux version 6.")
        assert gdb.value("*(unsigned long *)&jiffies_64") > INITIAL_JIFFIES
        gdb.tell("break start_kernel")
        gdb.run("reverse-continue")
        assert gdb.interrupt()["reason"] == "signal-received"
        assert gdb.icount == end
        assert gdb.go("reverse-continue")["reason"] == "breakpoint-hit"
        assert gdb.tell("info symbol $pc").startswith("start_kernel in section .text")
        assert re.search(r"#0 .* in start_kernel \(\)\s+#1 .* in _start_kernel \(\)", gdb.tell("bt"))
        assert 0 < gdb.icount < end
        there = [gdb.pc]
        for _ in range(10):
            gdb.go("reverse-stepi")
            there.append(gdb.pc)
        for pc in reversed(there[:-1]):
            gdb.go("stepi")
            assert gdb.pc == pc
        watch_jiffies(gdb)
        watch_what_is_never_written(gdb, end)
    orders = ("-ex", "break start_kernel", "-ex", "continue", "-ex", "info symbol $pc")
    done = home.run("gdb", recording, "--symbols", symbols, "--", "-nx", "--batch", *orders)
    assert "start_kernel in section .text" in done.stdout, done.stderr
