"""A guest that sleeps: in real time or not when it is recorded, never when it is replayed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import guest
from tests.harness.machine import console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

NAP_S = 3.0
NAP_NS = 3_000_000_000


def _record(home: Home, sleep: str) -> tuple[Path, float]:
    path = home.work / f"{sleep}.dejavm"
    done = home.run("record", "bare", "--kernel", guest("nap"), "--serial", "null", "--sleep", sleep, "-o", path)
    assert done.exit_code == 0, done.stderr
    assert b"slept 3000 ms\n" in console(path)
    return path, done.seconds


def test_with_sleep_on_a_nap_is_recorded_in_real_time_and_replayed_at_once(home: Home) -> None:
    path, seconds = _record(home, "on")
    assert seconds >= NAP_S
    for devices in ("log", "live"):
        # Starting takes its time, on a busy host more: what a replay takes that stops in front of the nap.
        started = home.run("replay", path, "--devices", devices, "--until", "1000")
        assert started.exit_code == 0, started.stderr
        done = home.run("verify", path, "--devices", devices)
        assert done.exit_code == 0, done.stderr
        assert done.seconds - started.seconds < NAP_S
    assert home.run("info", path, "--json").json["virtual_ns"] >= NAP_NS


def test_with_sleep_off_a_nap_takes_no_time(home: Home) -> None:
    path, _ = _record(home, "off")
    facts = home.run("info", path, "--json").json
    assert facts["host_ns"] < NAP_NS <= facts["virtual_ns"]
    home.verify_both_ways(path)


def test_the_recorded_clock_is_given_back(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("rtc"), "--serial", "null", "--sleep", "on")
    said = console(recording)
    times = [int(text) for text in re.findall(rb"^time (\d+)$", said, re.MULTILINE)]
    assert len(times) == 20
    assert times == sorted(times)
    assert said.count(b"alarm late by") == 5
    home.verify_both_ways(recording)
    path = home.work / "console"
    done = home.run("replay", recording, "--serial", f"file:{path}")
    assert done.exit_code == 0
    assert path.read_bytes() == said
