"""Devices that cheat are caught: the negative twin of every test that finds two runs equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import BARE, guest, saboteur
from tests.harness.machine import console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_DIVERGED = 3


def _record(home: Home, module: str, **env: str) -> Path:
    board = home.file("board.toml", BARE + saboteur(module))
    recording = home.record(board, "--kernel", guest("poke"), "--serial", "null", env=env)
    assert console(recording).count(b"poke ") == 4
    return recording


def _assert_caught(home: Home, recording: Path, **env: str) -> None:
    done = home.run("verify", recording, "--devices", "live", "--json", env=env)
    assert done.exit_code == EXIT_DIVERGED
    assert "divergence at " in done.complaint
    assert "in cheat0, done: expected value=" in done.complaint
    assert "actual value=" in done.complaint
    assert done.json["bit_exact"] is False
    assert done.json["divergence"] in done.complaint


def test_a_device_that_reads_the_hosts_clock_is_caught(home: Home) -> None:
    _assert_caught(home, _record(home, "clock_reader"))


def test_a_device_that_answers_from_a_sets_order_is_caught(home: Home) -> None:
    recording = _record(home, "set_order", PYTHONHASHSEED="1")
    home.verify(recording, "--devices", "live", env={"PYTHONHASHSEED": "1"})
    _assert_caught(home, recording, PYTHONHASHSEED="2")


def test_without_its_devices_a_cheats_recording_still_replays(home: Home) -> None:
    home.verify(_record(home, "clock_reader"), "--devices", "log")


def test_replay_stops_at_the_same_divergence(home: Home) -> None:
    recording = _record(home, "clock_reader")
    done = home.run("replay", recording, "--devices", "live")
    assert done.exit_code == EXIT_DIVERGED
    assert "in cheat0, done: expected value=" in done.complaint
