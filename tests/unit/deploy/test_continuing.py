"""Brokers that are killed: how often another is started, and where a recording that was hardly begun goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.continuing import Place, take_back
from deploy.deaths import Deaths
from deploy.plan import Launch
from machine.board import Board
from machine.errors import LogError, MachineError
from machine.message import RunMode
from tests.unit.machine.recordings import write

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_run_that_had_ended_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="the run has ended"):
        take_back(write(tmp_path / "a.dejavm"))
