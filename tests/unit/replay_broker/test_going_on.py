"""A broker finds a recording where its own is to be: when it is its predecessor's, with which it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.errors import LogError
from machine.node import starter
from machine.recording.continuation import DIED, note_death
from machine.recording.layout import LOG_NAME
from replay_broker.going_on import find_begun
from tests.unit.machine.recordings import FRAMES, write

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
