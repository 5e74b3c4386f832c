"""Stock gdb in front of a recorded Debian boot: its kernel's symbols, and back to where it all began."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from machine.recording.reader import Recording
from tests.harness.gdb import Gdb, served
from tests.harness.machine import console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.debian, pytest.mark.timeout(400)]

SYMBOLS = ("start_kernel", "linux_banner")
BOOT_S = 120.0
REPLAY_S = 150.0


def symbols(recording: Path) -> dict[str, int]:
    """What the guest has said of its kernel's addresses."""
    rows = re.findall(rb"(ffffffff[0-9a-f]{8}) \w (\w+)", console(recording))
    return {name.decode(): int(address, 16) for address, name in rows}


def test_from_the_end_of_a_boot_back_to_start_kernel(home: Home) -> None:
    words = " ".join(f"-e {name}" for name in SYMBOLS)
    append = f"console=ttyS0 earlycon=sbi dejavm.run={quote(f'grep -w {words} /proc/kallsyms', safe='')}"
    recording = home.record("--append", append, "--serial", "null", "--sleep", "off", timeout_s=BOOT_S)
    found = symbols(recording)
    with served(home, recording) as place, Gdb(home, REPLAY_S) as gdb:
        gdb.attach(place)
        gdb.run("continue")
        assert gdb.interrupt()["reason"] == "signal-received"
        somewhere = gdb.icount
        gdb.go("continue")
        assert "No more reverse-execution history" in gdb.said
        end = gdb.icount
        assert somewhere < end == Recording.open(recording).end_icount
        assert gdb.value(f"*(char *){found['linux_banner']:#x}") == ord("L")
        gdb.tell(f"hbreak *{found['start_kernel']:#x}")
        gdb.run("reverse-continue")
        assert gdb.interrupt()["reason"] == "signal-received"
        assert gdb.icount == end
        assert gdb.go("reverse-continue")["reason"] == "breakpoint-hit"
        assert gdb.pc & (1 << 64) - 1 == found["start_kernel"]
        assert 0 < gdb.icount < end
        there = [gdb.pc]
        for _ in range(10):
            gdb.go("reverse-stepi")
            there.append(gdb.pc)
        for pc in reversed(there[:-1]):
            gdb.go("stepi")
            assert gdb.pc == pc
