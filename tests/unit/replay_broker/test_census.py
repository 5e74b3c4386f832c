"""What is told of a running machine: rates, and whom it waits for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import BROKER, CPU
from machine.message import Hello
from replay_broker.census import NS_PER_S, Census
from replay_broker.roster import Roster
from replay_broker.session.record import RecordSession
from tests.unit.replay_broker.stage import BOARD, SERIAL, Stage, TalliedLedger, frame_of

if TYPE_CHECKING:
    import pytest


class Scene:
    """A census whose clock the test turns."""

    def __init__(self) -> None:
        self.roster = Roster.of(("cpu", "serial0", "rtc0"))
        for name in self.roster.members:
            self.roster.admit(name.encode(), Hello(m.WIRE_VERSION, name, 7, host="here"))
        self.now_ns = 0
        self.census = Census(self.roster, lambda: self.now_ns)
        self.session = RecordSession(BOARD, Stage().send, TalliedLedger())

    def pass_time(self, seconds: float) -> None:
        """Turns of the broker's loop, twenty a second."""
        for _ in range(int(seconds * 20)):
            self.now_ns += NS_PER_S // 20
            self.census.tick(self.session)


def test_a_device_that_does_not_answer_is_named_with_the_time(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.census.last = frame_of(m.MmioAccess(()), CPU, SERIAL, 9)
    scene.pass_time(0.9)
    assert scene.census.waiting_for() == ""
    with caplog.at_level(logging.WARNING, "dejavm"):
        scene.pass_time(4.2)
        assert scene.census.waiting_for() == "serial0 (5 s)"
        scene.roster.members["serial0"].heard += 1
        scene.pass_time(0.1)
    assert scene.census.waiting_for() == ""
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "waiting for serial0", "waiting for serial0", "it goes on after 5.1 s",
    ]  # fmt: skip


def test_a_guest_that_computes_keeps_nobody_waiting() -> None:
    scene = Scene()
    scene.census.last = frame_of(m.Grant(), BROKER, CPU, 9)
    scene.pass_time(60)
    assert scene.census.waiting_for() == ""


def test_a_debugger_that_holds_the_cpu_is_nothing_to_wonder_about(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.census.last = frame_of(m.Pause(on=True), BROKER, CPU, 9)
    scene.session.debugged = True
    with caplog.at_level(logging.WARNING, "dejavm"):
        scene.pass_time(30)
        assert (scene.census.waiting_for(), caplog.records) == ("", [])
        # Let go, and silent all the same.
        scene.session.debugged = False
        scene.pass_time(2.2)
    assert scene.census.waiting_for() == "cpu (2 s)"
    assert [record.getMessage() for record in caplog.records] == ["waiting for cpu (2 s)"]


def test_a_process_that_has_died_has_no_number() -> None:
    scene = Scene()
    scene.roster.bury(scene.roster.members["serial0"])
    found = {node.name: (node.state, node.pid) for node in scene.census.nodes(scene.session)}
    assert found["serial0"] == (m.NodeState.MISSING, 0)
    assert found["rtc0"][1] == 7


def test_rates_are_those_of_the_last_seconds() -> None:
    scene = Scene()
    for second in range(5):
        scene.session.icount = second * 1_000_000
        scene.roster.members["cpu"].heard = second * 10
        scene.pass_time(1)
    icount_per_s, _ = scene.census.rates(scene.session)
    cpu = scene.census.nodes(scene.session)[1]
    assert 900_000 <= icount_per_s <= 1_100_000
    assert 9 <= cpu.messages_per_s <= 11
    assert (cpu.host, cpu.pid) == ("here", 7)
