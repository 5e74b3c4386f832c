"""Every bare-metal guest: it passes, and its recording replays bit for bit without and with devices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import BARE, DMACOPY, guest
from tests.harness.machine import console

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system

CLOSED = (
    "timer", "traps", "counters", "selfmod", "aspaces", "pagecross", "midfault", "aging", "compute", "rtc", "nap",
    "doze", "reserve", "topmost",
)  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_a_bare_guest_passes_and_replays_both_ways(home: Home, name: str) -> None:
    recording = home.record("bare", "--kernel", guest(name), "--serial", "null", "--sleep", "off")
    said = console(recording).decode()
    assert said.splitlines()[-1] == "PASS"
    for got, expected in re.findall(r"^instret-delta (\d+) expect (\d+) ", said, re.MULTILINE):
        assert got == expected, said
    home.verify_both_ways(recording)


def test_code_that_a_device_has_written_replays_both_ways(home: Home) -> None:
    board = home.file("dma.toml", BARE + DMACOPY)
    recording = home.record(board, "--kernel", guest("dma"), "--serial", "null")
    said = console(recording).decode()
    assert "interrupts 408" in said
    assert said.splitlines()[-1] == "PASS"
    home.verify_both_ways(recording)
