"""What is asked of a replay while its CPU is about to stand still: nothing of it is lost, and nothing is told twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

from machine import message as m
from machine.icount import CPU
from machine.recording.snapshots.store import SnapshotStore
from replay_broker.session.base import Hold
from replay_broker.session.log import LogReplaySession
from replay_broker.travel import Travel
from tests.unit.replay_broker.stage import RUN, Stage, recording_of, say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from replay_broker.session.base import Session
    from replay_broker.travel import Host

ON, TO_200 = m.Pause(on=True), m.Pause(on=True, at_icount=200)


@dataclass
class Served:
    """What a traveller needs of the broker's server, in a replay that goes forward only."""

    session: Session
    taker: None = None


class Replay:
    """A replay whose CPU the test plays."""

    def __init__(self, directory: Path) -> None:
        recording = recording_of(directory / "r", RUN)
        self.stage = Stage()
        self.session = LogReplaySession(recording, self.stage.send, None)
        self.session.start()
        say(self.session, m.Sync(), CPU, 0)
        self.stage.take()
        store = SnapshotStore(recording.path, recording.facts.id)
        self.travel = Travel(cast("Host", Served(self.session)), store, {}, _nowhere)
        self.heard: list[str] = []
        self.travel.hear = self._hear

    def _hear(self, event: str, _data: Mapping[str, object]) -> None:
        self.heard.append(event)

    def stands(self, icount: int) -> None:
        """The CPU says that it stands still."""
        self.session.icount = icount
        self.session.stands_still()
        self.travel.stands()

    def told(self) -> list[m.Message]:
        """What the CPU has been told."""
        return [message for target, message in self.stage.take() if target == CPU]


def _nowhere(number: int) -> NoReturn:
    raise AssertionError(f"nobody goes to snapshot {number}")


def _done(error: str) -> None:
    assert error == ""


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    """One that stands at 10 with a breakpoint at 200 ahead."""
    replay = Replay(tmp_path)
    replay.travel.interrupt()
    replay.stands(10)
    replay.travel.add_break(200, _done)
    assert replay.told() == [ON]
    return replay


def test_who_goes_on_before_the_cpu_stands_still_comes_to_the_next_breakpoint(replay: Replay) -> None:
    replay.travel.resume()
    assert replay.told() == [TO_200]
    replay.travel.interrupt()
    replay.travel.resume()
    assert replay.told() == [ON]
    replay.stands(20)
    assert replay.told() == [TO_200]
    replay.stands(200)
    assert replay.session.hold is Hold.PAUSED
    assert replay.told() == []
    assert replay.heard == ["REPLAY_BREAK"]


def test_who_stops_last_has_it_stopped(replay: Replay) -> None:
    replay.travel.resume()
    replay.travel.interrupt()
    replay.travel.resume()
    replay.travel.interrupt()
    replay.told()
    replay.stands(20)
    assert replay.session.hold is Hold.PAUSED
    assert replay.told() == []


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_stop_while_a_breakpoint_is_added_to_a_running_replay_stops_it(replay: Replay, goes_on: bool) -> None:
    replay.travel.resume()
    replay.travel.add_break(250, _done)
    replay.travel.interrupt()
    if goes_on:
        replay.travel.resume()
    replay.told()
    replay.stands(20)
    assert replay.told() == ([TO_200] if goes_on else [])
    assert replay.session.hold is (Hold.RUNNING if goes_on else Hold.PAUSED)


def test_a_seek_behind_going_on_stands_where_it_leads(replay: Replay) -> None:
    replay.travel.resume()
    replay.travel.interrupt()
    replay.travel.resume()
    replay.travel.seek(100, _done)
    replay.stands(20)
    replay.stands(100)
    assert replay.heard == ["REPLAY_SEEK"]
    assert replay.session.hold is Hold.PAUSED


def test_one_that_stands_is_not_stopped_again(replay: Replay) -> None:
    replay.travel.interrupt()
    assert replay.told() == []
    assert replay.session.hold is Hold.PAUSED
