"""Where two runs part: a flipped bit, a dropped message, a device with a hidden clock."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from deploy.bisection.ahead import Ahead
from deploy.bisection.runner import Runner
from deploy.bisection.search import Pace, find_parting
from machine.board import RAM_BASE
from machine.codec import type_of
from machine.icount import CPU
from machine.message import Done, IrqLevel
from machine.recording.reader import Recording
from tests.harness.counted import CountedRunner
from tests.harness.dropped import without
from tests.harness.guests import BARE, echo_script, guest, saboteur
from tests.unit.machine.recordings import cut_in_the_last_chunk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from machine.frame import Frame
    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
USAGE = 2
DIVERGED = 3
UNREADABLE = 4
SHORT = Pace(stretches=8, shortest=1 << 20, looks=1 << 19)
"""As a recording is searched that is a hundred times as long."""


def echo(home: Home) -> Path:
    """A short conversation with the echo guest."""
    script = home.script(echo_script("hello", "world"))
    return home.record(home.file("b.toml", BARE), "--kernel", guest("echo"), "--serial", script, "--sleep", "off")


def bisect(home: Home, recording: Path, *options: str) -> dict[str, Any]:
    """What it prints as JSON, with its exit code."""
    done = home.run("bisect", recording, "--json", *options)
    assert done.stderr == "" or "Traceback" not in done.stderr, done.stderr
    return {**done.json, "exit": done.exit_code}


def answers(recording: Recording) -> list[Frame]:
    """What devices have answered the CPU."""
    return [frame for frame in recording.frames() if frame.type == type_of(Done) and frame.target == CPU]


def test_runs_that_are_equal_have_no_difference(home: Home) -> None:
    recording = echo(home)
    found = bisect(home, recording)
    assert found == {"same": True, "instructions": Recording.open(recording).end_icount, "exit": 0}


def test_equal_replays_of_a_damaged_log_are_not_all_that_was_recorded(home: Home) -> None:
    recording = echo(home)
    cut_in_the_last_chunk(recording / "log.mcap")
    done = home.run("bisect", recording)
    assert done.exit_code == UNREADABLE
    assert "no difference in" in done.stdout
    assert "good up to instruction" in done.complaint


@pytest.mark.parametrize("at", [0, 40_000, 90_001])
def test_one_flipped_bit_is_found_at_its_instruction_with_its_address(home: Home, at: int) -> None:
    offset = 50 << 20
    found = bisect(home, echo(home), "--flip-at", str(at), "--flip-bit", str(8 * offset + 5))
    assert found["exit"] == DIVERGED
    # The bit flips at the first sync point from there on, and shows behind the instruction that follows.
    assert at <= found["icount"] <= at + 200
    assert found["registers"] == {}
    assert [(address, left ^ right) for address, left, right in found["bytes"]] == [(RAM_BASE + offset, 1 << 5)]
    assert found["instruction"]
    assert found["messages"]


def test_a_flipped_bit_in_the_program_shows_in_what_it_does(home: Home) -> None:
    # The low bit of the immediate of the guest's very first instruction, in a page that all of it lies in.
    found = bisect(home, echo(home), "--flip-at", "0", "--flip-bit", str(8 * (2 << 20)))
    assert found["exit"] == DIVERGED
    assert found["icount"] <= 100


def test_a_dropped_message_is_found_where_it_is_missed(home: Home) -> None:
    recording = Recording.open(echo(home))
    dropped = [frame for frame in recording.frames() if frame.type == type_of(IrqLevel)][2]
    found = bisect(home, without(recording, dropped).path)
    assert found["exit"] == DIVERGED
    assert "divergence" in found
    assert dropped.icount <= found["icount"] <= dropped.icount + 5000
    assert found["pc"]


def test_a_dropped_answer_is_found_at_the_instruction_that_waits_for_it(home: Home) -> None:
    recording = Recording.open(echo(home))
    dropped = answers(recording)[5]
    found = bisect(home, without(recording, dropped).path)
    assert found["exit"] == DIVERGED
    assert f"the CPU waits at {dropped.icount}" in found["divergence"]
    assert found["icount"] == dropped.icount
    assert found["instruction"]


def test_a_device_with_a_hidden_clock_is_found_with_the_instruction_that_asked_it(home: Home) -> None:
    board = home.file("b.toml", BARE + saboteur("clock_reader"))
    recording = home.record(board, "--kernel", guest("poke"), "--serial", "null")
    assert bisect(home, recording)["exit"] == 0
    found = bisect(home, recording, "--devices", "live")
    assert found["exit"] == DIVERGED
    assert "cheat0" in found["divergence"]
    assert found["instruction"].startswith(("l", "c.l"))


def test_it_says_where_in_words(home: Home) -> None:
    recording = echo(home)
    symbols = home.file("System.map", "0000000080200000 T the_guest\n00000000ffffffff80000000 T elsewhere\n")
    done = home.run("bisect", recording, "--flip-at", "5000", "--flip-bit", "800", "--symbols", symbols)
    assert done.exit_code == DIVERGED
    assert "the first difference is behind instruction" in done.stdout
    assert "<the_guest" in done.stdout
    assert "the last messages before it:" in done.stdout


def test_a_flip_that_cannot_happen_is_refused(home: Home) -> None:
    recording = echo(home)
    end = Recording.open(recording).end_icount
    for words in (("--flip-at", str(end)), ("--flip-at=-1",), ("--flip-bit", "8")):
        done = home.run("bisect", recording, *words)
        assert done.exit_code == USAGE
        assert f"from 0 on and before {end}" in done.complaint
    done = home.run("bisect", recording, "--flip-at", "8", "--flip-bit", str(8 << 26))
    assert done.exit_code == USAGE
    assert f"memory has the bits 0 to {(8 << 26) - 1}" in done.complaint


def test_symbols_that_are_none_are_one_line(home: Home) -> None:
    done = home.run("bisect", echo(home), "--symbols", home.file("x", "nothing of the kind"))
    assert done.exit_code == 2
    assert "neither an ELF file nor a System.map" in done.complaint


def recorded(home: Home, name: str) -> Recording:
    """A guest that runs by itself."""
    return Recording.open(home.record(home.file("b.toml", BARE), "--kernel", guest(name), "--serial", "null"))


def search(recording: Recording, strain: Mapping[str, int]) -> tuple[int, float]:
    """Where two replays part, and how often the longer one of them has run the recording."""
    board = recording.board
    with CountedRunner(recording.path, board, {}) as plain, CountedRunner(recording.path, board, strain) as other:
        found = find_parting((plain, other), recording.end_icount, SHORT)
        assert found is not None
        return found.icount, max(plain.ran, other.ran) / recording.end_icount


def test_an_early_or_a_late_flipped_bit_costs_each_replay_less_than_one_and_a_half_recordings(home: Home) -> None:
    recording = recorded(home, "compute")
    for percent in (1, 50, 99):
        at = recording.end_icount * percent // 100
        found, times = search(recording, {"flip_at": at, "flip_bit": 8 * (50 << 20)})
        assert at <= found <= at + 200
        assert times < 1.5


def test_an_early_or_a_late_dropped_message_costs_each_replay_less_than_one_and_a_half_recordings(home: Home) -> None:
    recording = recorded(home, "chatter")
    rows = answers(recording)
    for number in (0, len(rows) // 2, len(rows) - 2):
        found, times = search(without(recording, rows[number]), {"stop": 5000, "seed": 1})
        assert found == rows[number].icount
        assert times < 1.5


def test_a_replay_is_taken_back_whatever_it_does_and_ctrl_c_is_not_for_it(home: Home) -> None:
    recording = recorded(home, "counters")
    with Runner(recording.path, recording.board, {}) as runner:
        ready = runner.take()
        os.kill(ready["by"], signal.SIGINT)
        assert runner.ask(look=None)["icount"] == 0
        saved = runner.ask(save=True)
        assert saved["saved"] == ready["by"] != saved["by"]
        # It is taken back whatever it does, and has forgotten what else it was asked for.
        runner.send(run_on=recording.end_icount)
        runner.send(look=None)
        runner.back(0)
        assert runner.ask(look=None)["by"] == ready["by"]
        assert runner.stands == 0


@pytest.mark.parametrize("ahead", [False, True])
def test_the_instruction_behind_a_late_message_costs_one_more_replay_at_most(home: Home, *, ahead: bool) -> None:
    recording = recorded(home, "chatter")
    place = answers(recording)[-2].icount
    with CountedRunner(recording.path, recording.board, {}) as runner:
        replay = Ahead(runner, 0, recording.end_icount, SHORT)
        if ahead:
            replay.start()
        before = replay.look(place)
        assert before["icount"] == place
        assert before["instruction"]
        # Beside the replay with devices, which goes as far as the message and no farther.
        assert runner.ran < 1.2 * recording.end_icount
