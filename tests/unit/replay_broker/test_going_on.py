"""A broker finds a recording where its own is to be: when it is its predecessor's, with which it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from machine.errors import LogError
from machine.node import starter
from machine.recording.continuation import DIED, note_death
from machine.recording.layout import LOG_NAME
from machine.recording.snapshots.writer import SnapshotWriter
from replay_broker.going_on import find_begun
from tests.unit.machine.recordings import FACTS, FRAMES, write
from tests.unit.machine.snapshots.scenes import pages, plain, snapshot

if TYPE_CHECKING:
    from pathlib import Path


def test_a_broker_goes_on_behind_one_that_the_same_process_had_started_and_that_was_killed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dejavm", FRAMES[:-1], close=False)
    assert find_begun(path, tmp_path) is None
    (tmp_path / DIED).touch()
    assert find_begun(path, tmp_path) is None
    note_death(tmp_path, starter())
    found = find_begun(path, tmp_path)
    assert found is not None
    assert found.begun is not None


@pytest.mark.parametrize("close", [True, False], ids=["closed", "not closed"])
def test_nobody_goes_on_in_a_recording_whose_run_has_ended(tmp_path: Path, close: bool) -> None:
    path = write(tmp_path / "a.dejavm", FRAMES, close=close)
    before = (path / LOG_NAME).read_bytes()
    note_death(tmp_path, starter())
    with pytest.raises(LogError, match="the run has ended"):
        find_begun(path, tmp_path)
    assert (path / LOG_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("label", "at_ns", "slept_ns"), [("", 2500 + 640, 640), ("", 0, 500), ("there", 2500 + 640, 500)], ids=str
)
def test_what_the_guest_has_slept_is_told_by_the_snapshot_it_goes_on_from_or_by_the_log(
    tmp_path: Path, label: str, at_ns: int, slept_ns: int
) -> None:
    path = write(tmp_path / "a.dejavm", FRAMES[:-1], chunk=8, close=False)
    taken = replace(snapshot(1, icount=2500, label=label, nodes="cpu serial0 rtc0"), recording=FACTS.id, seq=7)
    SnapshotWriter(path, FACTS.id).add(replace(taken, at_ns=at_ns), pages(plain(1, 2)), None)
    note_death(tmp_path, starter())
    found = find_begun(path, tmp_path)
    assert found is not None
    assert found.beginning is not None
    assert (found.beginning.seq, found.beginning.icount, found.beginning.idle_ns) == (7, 2500, slept_ns)
