"""A debugger at the CPU: what it changes is written down, who it holds is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import BROKER, CPU
from machine.recording.stops import Stops
from replay_broker.session.debugged import DebuggedSession
from replay_broker.session.live import LiveReplaySession
from replay_broker.session.log import LogReplaySession
from tests.unit.replay_broker.stage import SERIAL, Recorded, Stage, frame_of, recording_of, say

if TYPE_CHECKING:
    from pathlib import Path

    from machine.recording.reader import Recording
    from tests.unit.replay_broker.stage import Said

WRITE = m.DebuggerWrite(pc=0x80, register="t0", value=7)
OTHER = m.DebuggerWrite(pc=0x84, address=0x8000_0000, data=b"x")


class Debugged(Recorded):
    """A machine that is recorded, powered on."""

    def __init__(self, *, sleep: bool = False) -> None:
        super().__init__(sleep=sleep, kind=DebuggedSession)
        self.power_on()


def test_a_change_is_written_down_as_an_input_for_the_cpu_and_not_told_it_again() -> None:
    debugged = Debugged()
    say(debugged.session, WRITE, CPU, 500)
    assert debugged.ledger.said()[-1] == (500, BROKER, CPU, WRITE)
    assert debugged.stage.take() == []


def test_a_sleeping_guest_is_woken_by_an_input() -> None:
    debugged = Debugged(sleep=True)
    say(debugged.session, m.Sync(idle=True), CPU, 9)
    assert debugged.stage.take() == []
    say(debugged.session, m.Rouse(), CPU, 9)
    opened, roused, granted = debugged.stage.take()
    assert isinstance(opened[1], m.SyncPoint)
    assert roused == (CPU, m.Rouse())
    assert granted == (CPU, m.Grant())
    assert debugged.ledger.said()[-1] == (9, BROKER, CPU, m.Rouse())


def test_a_guest_that_has_just_woken_by_itself_is_told_at_its_next_sync_point() -> None:
    debugged = Debugged()
    say(debugged.session, m.Rouse(), CPU, 9)
    assert debugged.stage.take() == [(CPU, m.Kick())]
    say(debugged.session, m.Sync(), CPU, 12)
    assert debugged.stage.take() == [(CPU, m.SyncPoint()), (CPU, m.Rouse()), (CPU, m.Grant())]


def test_a_sleeping_guest_that_the_monitor_holds_is_woken_and_stays_held() -> None:
    debugged = Debugged(sleep=True)
    say(debugged.session, m.Sync(idle=True), CPU, 9)
    debugged.session.pause()
    debugged.stage.take()
    say(debugged.session, m.Rouse(), CPU, 9)
    said = [message for _, message in debugged.stage.take()]
    assert said[0] == m.Pause(on=True)
    assert said[-2:] == [m.Rouse(), m.Grant()]


def held(debugged: Debugged, *, on: bool) -> None:
    """The CPU says that a debugger holds it, or does not."""
    assert not debugged.session.on_paused(frame_of(m.Paused(held=on), CPU, BROKER, 9))


def test_a_run_that_is_to_end_asks_the_debugger_to_let_go() -> None:
    debugged = Debugged()
    held(debugged, on=True)
    assert debugged.session.debugged
    debugged.session.quit()
    assert (CPU, m.Pause(on=False, let_go=True)) in debugged.stage.take()
    held(debugged, on=False)
    assert not debugged.session.debugged


def changed(path: Path) -> Recording:
    """A recording with two changes at one place and one behind a register access."""
    said: list[Said] = [
        (0, BROKER, CPU, m.SyncPoint()),
        (0, BROKER, SERIAL, m.Reset()),
        (0, SERIAL, BROKER, m.Done()),
        (5, BROKER, CPU, WRITE),
        (5, BROKER, CPU, OTHER),
        (7, CPU, SERIAL, m.MmioAccess(())),
        (7, SERIAL, CPU, m.Done()),
        (7, BROKER, CPU, WRITE),
        (9, BROKER, CPU, m.SyncPoint()),
    ]
    return recording_of(path, said)


GRANTS = [
    m.Grant(0),
    m.Grant(5, pc=0x80),
    m.Grant(5, pc=0x84),
    m.Grant(7, pc=0x80, after=2),
    m.Grant(9),
    m.Grant(),
]


def test_a_replaying_cpu_is_told_each_place_and_what_is_said_before(tmp_path: Path) -> None:
    stops = Stops(changed(tmp_path / "a").frames())
    assert [stops.take() for _ in GRANTS] == GRANTS


def test_a_replay_from_the_log_streams_each_change_in_front_of_the_next_grant(tmp_path: Path) -> None:
    stage = Stage()
    LogReplaySession(changed(tmp_path / "a"), stage.send, None).start()
    told = [message for _, message in stage.take()]
    assert [message for message in told if isinstance(message, m.Grant)] == GRANTS[1:]
    assert [type(message) for message in told[2:5]] == [m.DebuggerWrite, m.Grant, m.DebuggerWrite]


def test_a_replay_with_devices_tells_a_change_where_the_cpu_has_come_to_it(tmp_path: Path) -> None:
    stage = Stage()
    session = LiveReplaySession(changed(tmp_path / "a"), stage.send, None)
    session.start()
    say(session, m.Sync(), CPU, 0)
    say(session, m.Done(), SERIAL)
    assert stage.take()[-1] == (CPU, GRANTS[1])
    say(session, m.Sync(), CPU, 5)
    assert stage.take() == [(CPU, WRITE), (CPU, GRANTS[2])]
    say(session, m.Sync(), CPU, 5)
    assert stage.take() == [(CPU, OTHER), (CPU, GRANTS[3])]
