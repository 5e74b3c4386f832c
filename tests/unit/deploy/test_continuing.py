"""Brokers that are killed: how often another is started, and where a recording that was hardly begun goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from deploy import continuing
from deploy.continuing import BLOCK, FAR, Place, take_back
from deploy.deaths import Deaths
from deploy.outcome import Outcome
from deploy.plan import Launch
from machine.board import Board
from machine.errors import EXIT_DONE, LogError, MachineError
from machine.message import RunMode, RunState, Status
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from tests.unit.machine.recordings import FACTS, FRAMES, write
from tests.unit.machine.snapshots.scenes import pages, plain, snapshot

if TYPE_CHECKING:
    from pathlib import Path

STOPPED: Final = Outcome(Status(RunState.STOPPED), EXIT_DONE)
AWAKE: Final = Outcome(Status(RunState.ENDED), EXIT_DONE)
LAST: Final = 8
"""Messages of a log without its End."""


class Replays:
    """Stands in for machines that are started: each leaves a snapshot where it was to go."""

    def __init__(self, directory: Path, *, asleep: bool) -> None:
        self.to: list[tuple[int | None, int]] = []
        """Of each: the instruction it was sent to, None for the log's end; the snapshot it began with."""
        self._directory = directory
        self._asleep = asleep

    def launch(self, run: Launch) -> Outcome:
        """As deploy.launch.launch()."""
        assert run.fork is not None
        self.to.append((None if run.fork.asleep else run.fork.icount, run.snapshot))
        if run.fork.asleep and not self._asleep:
            return AWAKE
        number, seq = len(self.to), LAST if run.fork.asleep else LAST - 1
        state = snapshot(number, icount=run.fork.icount, nodes="cpu serial0 rtc0")
        writer = SnapshotWriter(self._directory, FACTS.id)
        writer.add(replace(state, recording=FACTS.id, seq=seq), pages(plain(number, 2)), None)
        return STOPPED


def take_back_from(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, farther: int = 0, asleep: bool
) -> tuple[Place, Replays]:
    """Of a log that is `farther` instructions longer than those of other tests: where it goes on, and by what."""
    frames = [frame._replace(icount=frame.icount + farther) for frame in FRAMES[:LAST]]
    recording = write(path, frames, chunk=LAST, close=False)
    replays = Replays(recording, asleep=asleep)
    monkeypatch.setattr(continuing, "launch", replays.launch)
    return take_back(recording), replays


def test_brokers_that_come_no_further_are_not_started_for_ever() -> None:
    deaths = Deaths()
    for seq in (10, 20, 20, 30, 30):
        deaths.again(seq)
    with pytest.raises(MachineError, match="died 3 times at message 30; it is not started again"):
        deaths.again(30)


def test_a_recording_that_was_not_begun_begins_at_power_on(tmp_path: Path) -> None:
    assert take_back(tmp_path / "none.dejavm") == Place(0, 0)
    assert take_back(write(tmp_path / "a.dejavm", [], close=False)) == Place(0, 0)
    said: list[str] = []
    Deaths().revive(Launch(Board("b"), RunMode.RECORD, tmp_path / "none.dejavm"), said.append)
    assert said[-1] == "another broker goes on from power-on"


@pytest.mark.parametrize("written", [(), ("machine.toml",), ("machine.toml.part",)], ids=str)
def test_a_recording_whose_writer_was_killed_as_it_began_is_out_of_its_successor_s_way(
    tmp_path: Path, written: tuple[str, ...]
) -> None:
    path = tmp_path / "a.dejavm"
    path.mkdir()
    for name in written:
        (path / name).touch()
    assert take_back(path) == Place(0, 0)
    assert not path.exists()


def test_what_is_no_beginning_of_a_recording_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    assert take_back(tmp_path) == Place(0, 0)
    assert (tmp_path / "letter").exists()


def test_snapshots_behind_the_place_where_it_goes_on_are_forgotten(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dejavm", FRAMES[:6], close=False)
    writer = SnapshotWriter(path, FACTS.id)
    for number, seq, icount, nodes in ((1, 5, 2499, "cpu serial0 rtc0"), (2, 6, 2500, "cpu")):
        state = replace(snapshot(number, icount=icount, nodes=nodes), recording=FACTS.id, seq=seq)
        writer.add(state, pages(plain(number, 2)), None)
    assert take_back(path) == Place(5, 2499)
    assert [head.number for head in SnapshotStore(path, FACTS.id).list()] == [1]


def test_a_run_that_had_ended_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="the run has ended"):
        take_back(write(tmp_path / "a.dejavm"))


def test_a_short_log_is_replayed_to_its_end_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, replays = take_back_from(tmp_path / "a.dejavm", monkeypatch, asleep=True)
    assert place == Place(LAST, FRAMES[LAST - 1].icount)
    assert replays.to == [(None, 0)]


def test_behind_a_guest_that_does_not_sleep_it_goes_on_a_block_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, replays = take_back_from(tmp_path / "a.dejavm", monkeypatch, asleep=False)
    before = FRAMES[LAST - 1].icount - BLOCK
    assert place == Place(LAST - 1, before)
    assert replays.to == [(None, 0), (before, 0)]


@pytest.mark.parametrize("asleep", [True, False])
def test_a_long_log_is_replayed_once_whether_its_guest_sleeps_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asleep: bool
) -> None:
    place, replays = take_back_from(tmp_path / "a.dejavm", monkeypatch, farther=FAR, asleep=asleep)
    end = FRAMES[LAST - 1].icount + FAR
    assert place == (Place(LAST, end) if asleep else Place(LAST - 1, end - BLOCK))
    assert replays.to == [(end - BLOCK, 0), (None, 1)]
