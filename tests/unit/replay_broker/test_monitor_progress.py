"""What takes long says how far it is, each half second and never before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from replay_broker.monitor.progress import EVENT, EVERY_NS, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replay_broker.monitor.machine import Machine


class Scene:
    """A machine of which is known where it is going and what is being kept."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, object]] = []
        self.travel = SimpleNamespace(goal=None)
        self.taker = SimpleNamespace(stage="")
        self.session = SimpleNamespace(held="")
        self.host = SimpleNamespace(outcome=None, travel=self.travel, taker=self.taker, session=self.session)
        self.icount = 0
        self._progress = Progress()

    def hear(self, name: str, data: Mapping[str, object]) -> None:
        """An event."""
        assert name == EVENT
        self.heard.append(data)

    def at(self, now_ns: int) -> list[Mapping[str, object]]:
        """What is heard then."""
        self._progress.notice(cast("Machine", cast("Any", self)), now_ns)
        heard, self.heard = self.heard, []
        return heard


def test_a_journey_tells_where_it_is_each_half_second() -> None:
    scene = Scene()
    assert scene.at(0) == []
    scene.travel.goal, scene.icount = 900, 10
    assert scene.at(5) == []
    assert scene.at(5 + EVERY_NS - 1) == []
    assert scene.at(5 + EVERY_NS) == [{"command": "replay-seek", "icount": 10, "goal": 900}]
    scene.icount = 700
    assert scene.at(6 + EVERY_NS) == []
    assert scene.at(5 + 2 * EVERY_NS) == [{"command": "replay-seek", "icount": 700, "goal": 900}]
    scene.travel.goal = 100
    assert scene.at(5 + 3 * EVERY_NS) == []
    scene.travel.goal = None
    assert scene.at(5 + 9 * EVERY_NS) == []


def test_a_state_that_is_kept_tells_its_stage_and_a_breakpoint_on_its_way_nothing() -> None:
    scene = Scene()
    scene.taker.stage = "waiting"
    assert scene.at(0) == []
    scene.taker.stage = "writing"
    assert scene.at(EVERY_NS) == [{"command": "snapshot-save", "stage": "writing"}]
    scene.session.held = "debug"
    assert scene.at(2 * EVERY_NS) == [{"command": "snapshot-save", "stage": "writing", "held": "debug"}]
    scene.session.held = ""
    scene.taker.stage, scene.travel.goal = "", -1
    assert scene.at(3 * EVERY_NS) == []
    scene.taker.stage, scene.host.outcome = "writing", "over"
    assert scene.at(6 * EVERY_NS) == []
