"""`--until` stops exactly where it was told to, and both ways of replaying agree on what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from machine.codec import type_of
from machine.message import SyncPoint
from machine.recording.reader import Recording
from tests.harness.guests import echo_script, guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_USAGE = 2


@pytest.fixture
def recording(home: Home) -> Path:
    """A short session with the echo guest."""
    script = home.script(echo_script("hello"))
    return home.record("bare", "--kernel", guest("echo"), "--serial", script)


def _stop(home: Home, recording: Path, icount: int, devices: str) -> str:
    done = home.run("replay", recording, "--until", str(icount), "--devices", devices, "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["icount"] == icount
    return str(done.json["digest"])


def _places(recording: Path) -> list[int]:
    """Around a sync point in the middle, inside blocks, at both ends."""
    opened = Recording.open(recording)
    points = [frame.icount for frame in opened.frames() if frame.type == type_of(SyncPoint)]
    middle = points[len(points) // 2]
    return [0, 1, 7, middle - 1, middle, middle + 1, middle + 5, opened.end_icount - 1, opened.end_icount]


@pytest.mark.timeout(180)
def test_both_ways_of_replaying_find_the_same_machine_at_an_instruction(home: Home, recording: Path) -> None:
    digests = []
    for icount in _places(recording):
        log, live = (_stop(home, recording, icount, devices) for devices in ("log", "live"))
        assert log == live, icount
        digests.append(log)
    assert len(set(digests)) == len(digests)


@pytest.mark.timeout(180)
def test_a_guest_that_waits_in_the_middle_of_a_block_is_found_on_either_side_of_it(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("doze"), "--serial", "null", "--sleep", "off")
    opened = Recording.open(recording)
    points = [frame.icount for frame in opened.frames() if frame.type == type_of(SyncPoint)]
    middle = points[len(points) // 2]
    for icount in range(middle - 1, middle + 4):
        log, live = (_stop(home, recording, icount, devices) for devices in ("log", "live"))
        assert log == live, icount


def _registers(recording: Recording, icount: int) -> dict[str, int]:
    player = Player(recording, recording.board, Perturbation())
    player.run_exactly(icount)
    assert player.icount == icount
    return dict(zip(player.arch.inspect.names, player.registers(), strict=True))


@pytest.mark.timeout(180)
def test_in_front_of_an_instruction_that_faults_it_has_not_happened_yet(home: Home) -> None:
    path = home.record("bare", "--kernel", guest("midfault"), "--serial", "null", "--sleep", "off")
    opened = Recording.open(path)
    before, behind = 0, opened.end_icount // 2
    causes = {before: 0, behind: _registers(opened, behind)["scause"]}
    while behind - before > 1:
        middle = (before + behind) // 2
        causes[middle] = _registers(opened, middle)["scause"]
        before, behind = (middle, behind) if causes[middle] == 0 else (before, middle)
    faulting, handling = _registers(opened, before), _registers(opened, behind)
    # What faults does not count: one more instruction is the first one of the handler.
    assert handling["scause"] in (13, 15)
    assert handling["sepc"] == faulting["pc"]
    assert handling["pc"] - handling["stvec"] in (2, 4)
    assert home.run("snapshots", path, "--make", "200000").exit_code == 0
    for place in (before, behind):
        found = {
            str(home.run("replay", path, word, str(place), "--devices", devices, "--json").json)
            for word, devices in (("--until", "log"), ("--seek", "log"), ("--until", "live"))
        }
        assert len(found) == 1, place


def test_beyond_the_end_is_a_usage_error_that_names_the_range(home: Home, recording: Path) -> None:
    end = Recording.open(recording).end_icount
    for wrong in (end + 1, -1):
        done = home.run("replay", recording, f"--until={wrong}")
        assert done.exit_code == EXIT_USAGE
        assert f"0 to {end}" in done.complaint


def test_a_replay_that_is_stopped_twice_at_one_place_finds_the_same(home: Home, recording: Path) -> None:
    place = _places(recording)[3]
    assert _stop(home, recording, place, "log") == _stop(home, recording, place, "log")
