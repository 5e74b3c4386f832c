"""For whom the run waits before it begins, who is told, and for how long."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from machine import message as m
from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import BROKER
from machine.message import Hello
from replay_broker.barrier import Barrier
from replay_broker.roster import Roster

if TYPE_CHECKING:
    import pytest


class Scene:
    """A barrier whose clock the test turns."""

    def __init__(self) -> None:
        self.roster = Roster.of(("cpu", "serial0", "rtc0"))
        self.now_s = 0.0
        self.barrier = Barrier(self.roster, lambda: self.now_s)

    def come(self, *names: str) -> None:
        """They say Hello."""
        for name in names:
            assert self.roster.admit(name.encode(), Hello(m.WIRE_VERSION, name, 7, host="here")) == ""

    def be_ready(self, name: str) -> None:
        """It says Ready."""
        member = self.roster.members[name]
        ready = m.Ready()
        self.roster.hear(member, Frame(type_of(type(ready)), member.number, BROKER, 0, encode(ready)))

    def look(self, now_s: float) -> str:
        """At that time."""
        self.now_s = now_s
        return self.barrier.look()


def test_who_has_not_come_is_waited_for_and_then_who_is_not_ready() -> None:
    scene = Scene()
    assert scene.barrier.waiting_for() == ""
    scene.come("cpu", "rtc0")
    scene.now_s = 2.4
    assert scene.barrier.waiting_for() == "serial0 (2 s)"
    scene.come("serial0")
    scene.be_ready("cpu")
    assert scene.barrier.waiting_for() == "serial0, rtc0 (2 s)"
    scene.be_ready("serial0")
    scene.be_ready("rtc0")
    assert scene.barrier.waiting_for() == ""


def test_who_does_not_come_ends_the_run_and_who_is_not_ready_only_where_that_is_asked_for() -> None:
    scene = Scene()
    scene.come("cpu", "rtc0")
    assert scene.look(60) == ""
    assert scene.look(61) == "not here after 60 s: serial0"
    scene.come("serial0")
    scene.be_ready("cpu")
    assert scene.look(1e6) == ""
    scene.barrier.ready_timeout_s = 90.0
    assert scene.look(90) == ""
    assert scene.look(91) == "not ready after 90 s: serial0, rtc0"


def test_a_long_wait_is_mentioned_and_each_time_is_twice_as_long(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.come("cpu", "serial0", "rtc0")
    scene.be_ready("cpu")
    scene.be_ready("rtc0")
    with caplog.at_level(logging.WARNING, "dejavm"):
        for now_s in range(50):
            assert scene.look(now_s) == ""
    said = "the machine does not run yet: waiting for serial0"
    assert [record.getMessage() for record in caplog.records] == [f"{said} ({n} s)" for n in (10, 20, 40)]
