"""Stops for nothing, dropped translations and flushed address translations leave the digest unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.guests import BOOT_AND_POWER_OFF, echo_script, guest, shell_script
from tests.harness.machine import console, final_digest
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

RARE: Final = (2400, 18_000, 6000)
"""Instructions to one stop, one drop of all translations, one flush of the TLB; for guests of some millions."""
RARER: Final = (120_000, 6_000_000, 120_000)
"""The same for a Debian boot."""


def _chaos(rates: tuple[int, int, int], seed: int) -> Rig:
    stop, drop, tlb = map(str, rates)
    words = ("--chaos-stop", stop, "--chaos-tb", drop, "--chaos-tlb", tlb, "--chaos-seed", str(seed))
    return Rig(extra={"cpu": words})


def _replays_unchanged(home: Home, recording: Path, rates: tuple[int, int, int], devices: str = "log") -> None:
    recorded = final_digest(recording)
    for seed in (1, 2):
        assert home.verify(recording, "--devices", devices, rig=_chaos(rates, seed), timeout_s=200) == recorded


@pytest.mark.system
@pytest.mark.parametrize("name", ["selfmod", "aging", "aspaces", "traps", "pagecross", "topmost"])
def test_perturbed_replays_of_a_bare_guest_are_equal(home: Home, name: str) -> None:
    recording = home.record("bare", "--kernel", guest(name), "--serial", "null")
    _replays_unchanged(home, recording, RARE)


@pytest.mark.system
def test_perturbed_replays_of_an_echo_session_are_equal(home: Home) -> None:
    script = home.script(echo_script("hello", "0123456789" * 20))
    recording = home.record("bare", "--kernel", guest("echo"), "--serial", script)
    _replays_unchanged(home, recording, RARE)
    _replays_unchanged(home, recording, RARE, "live")


@pytest.mark.system
@pytest.mark.parametrize("name", ["selfmod", "aging", "aspaces"])
def test_a_perturbed_recording_is_the_plain_one(home: Home, name: str) -> None:
    common = ("bare", "--kernel", guest(name), "--serial", "null")
    plain = home.record(*common, name="plain")
    perturbed = home.record(*common, name="perturbed", rig=_chaos(RARE, 3))
    assert console(perturbed) == console(plain)
    assert final_digest(perturbed) == final_digest(plain)


@pytest.mark.debian
@pytest.mark.timeout(300)
def test_perturbed_replays_of_a_debian_boot_are_equal(home: Home) -> None:
    recording = home.record("--memory", "128M", "--serial", "null", "--append", BOOT_AND_POWER_OFF)
    _replays_unchanged(home, recording, RARER)


@pytest.mark.debian
@pytest.mark.timeout(400)
def test_perturbed_replays_of_a_guest_under_memory_pressure_are_equal(home: Home) -> None:
    """Page aging clears accessed bits, so what a TLB entry hides or shows becomes visible to the guest."""
    script = shell_script(*MEMORY_PRESSURE)
    recording = home.record("--memory", PRESSED_MEMORY, "--serial", home.script(script), "--sleep", "off")
    said = console(recording)
    assert b"aged 4" in said, said[-2000:]
    assert b"generation 6" in said, said[-2000:]
    home.verify(recording, "--devices", "live")
    _replays_unchanged(home, recording, RARER)


PRESSED_MEMORY: Final = "128M"
MEMORY_PRESSURE: Final = (
    "mount -t tmpfs none /mnt",
    "dd if=/dev/zero bs=64k count=80 of=/mnt/a",
    "cat /sys/kernel/mm/lru_gen/enabled",
    "for i in 1 2 3 4 5 6 7 8; do echo 1 >/proc/$$/clear_refs; md5sum </mnt/a; "
    "grep Referenced: /proc/$$/smaps | md5sum; done",
    "dd if=/dev/zero bs=12M count=1 | md5sum",
    "for i in 1 2 3 4; do echo 1 >/proc/$$/clear_refs; grep Referenced: /proc/$$/smaps | md5sum; echo aged $i; done",
    # The multi-generational LRU ages on request, without swap: it walks page tables, takes accessed bits out
    # and counts the pages of each generation.
    "mount -t debugfs none /sys/kernel/debug",
    "(while :; do md5sum /mnt/a >/dev/null; done) &",
    "for g in 1 2 3 4 5 6; do n=$(awk '/^ +[0-9]/ {print $1}' /sys/kernel/debug/lru_gen | tail -n 1); "
    "echo + 1 0 $n 1 1 > /sys/kernel/debug/lru_gen && echo generation $g; tail -n 5 /sys/kernel/debug/lru_gen; done",
    "kill %1",
)
