"""Where new recordings go, and how those that are there are drawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from deploy.family import families, render
from deploy.library import RECORDINGS, new_path
from machine.recording.facts import Parent
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("board", ["../../outside", "/outside", "..", "", "a\0b", "\x1b[2J", "x" * 300])
def test_a_board_of_a_stranger_does_not_lead_out_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = new_path(None, board, NOW)
    assert path.parent == tmp_path / RECORDINGS
    path.mkdir(parents=True)


def test_a_new_recording_is_named_by_board_and_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_path(None, "debian", NOW).name == "debian-20260102-030405-1.dejavm"


@pytest.mark.parametrize("parents", [(0,), (1, 0), (1, 2, 0), (1, 0, 0)])
def test_recordings_that_come_from_each_other_are_drawn_each_once(tmp_path: Path, parents: tuple[int, ...]) -> None:
    found = []
    for number, parent in enumerate(parents):
        path = tmp_path / f"{number}.dejavm"
        said = Parent(f"{parent:032}", "elsewhere", 5, 5, 1, 0, bytes(32), 0, 1)
        RecordingWriter(path, BOARD, replace(FACTS, id=f"{number:032}", parent=said)).abandon()
        found.append(Recording.open(path))
    drawn = render(families(found))
    assert [drawn.count(f"{recording.path}:") for recording in found] == [1] * len(found)
