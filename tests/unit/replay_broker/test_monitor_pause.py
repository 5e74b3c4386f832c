"""Standing still: it takes nothing from the guest's time, and leaves no trace in what is written down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine import message as m
from machine.icount import CPU
from replay_broker.session.base import Hold
from replay_broker.session.live import LiveReplaySession
from replay_broker.session.log import LogReplaySession
from tests.unit.replay_broker.stage import RUN, SERIAL, Recorded, Said, Stage, recording_of, say

if TYPE_CHECKING:
    from pathlib import Path

    from machine.message import Message

HOUR_NS = 3_600 * 10**9
X = m.HostInput(m.HostEvent.DATA, b"x")
KEY = m.HostInput(m.HostEvent.DATA, b"k", by_monitor=True)


class Held(Recorded):
    """A recording session whose machine has been powered on."""

    def __init__(self, *, sleep: bool = False) -> None:
        super().__init__(sleep=sleep)
        self.power_on()

    def sleep(self, timer_ns: int | None = None, icount: int = 50) -> None:
        """The guest sleeps."""
        say(self.session, m.Sync(idle=True, timer_ns=timer_ns), CPU, icount)

    def hold(self) -> Hold:
        """Whether it stands still."""
        return self.session.hold

    def paused(self) -> list[tuple[int, Message]]:
        """The CPU stands still; what was sent up to then."""
        sent = self.stage.take()
        self.session.stands_still()
        return sent


def idle_ns_of(sent: list[tuple[int, Message]]) -> int:
    """How long the guest slept, as its CPU is told."""
    (point,) = [message for _, message in sent if isinstance(message, m.SyncPoint)]
    return point.idle_ns


def wait_ns(span_ns: int) -> None:
    """Let the host's clock go on."""
    until = time.monotonic_ns() + span_ns
    while time.monotonic_ns() < until:
        pass


def test_a_running_cpu_is_asked_once_and_nothing_is_written_down() -> None:
    held = Held()
    before = list(held.ledger.frames)
    held.session.pause()
    held.session.pause()
    assert held.hold() is Hold.PAUSING
    assert held.paused() == [(CPU, m.Pause(on=True))]
    assert held.hold() is Hold.PAUSED
    held.session.resume()
    held.session.resume()
    assert held.stage.take() == [(CPU, m.Pause(on=False))]
    assert held.hold() is Hold.RUNNING
    assert held.ledger.frames == before


def test_going_on_before_the_cpu_stands_waits_until_it_does() -> None:
    held = Held()
    held.session.pause()
    held.session.resume()
    assert held.paused() == [(CPU, m.Pause(on=True))]
    assert held.stage.take() == [(CPU, m.Pause(on=False))]
    assert held.hold() is Hold.RUNNING


def test_a_change_of_mind_and_back_leaves_the_cpu_standing() -> None:
    held = Held()
    held.session.pause()
    held.session.resume()
    held.session.pause()
    assert held.paused() == [(CPU, m.Pause(on=True))]
    assert held.hold() is Hold.PAUSED


def test_a_sync_point_on_the_way_to_standing_still_is_one_like_any_other() -> None:
    held = Held()
    say(held.session, X, SERIAL, 7)
    held.session.pause()
    held.stage.take()
    say(held.session, m.Sync(), CPU, 20)
    assert held.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, X)]
    say(held.session, m.Done(), SERIAL, 20)
    assert held.stage.take() == [(CPU, m.Grant())]
    assert held.hold() is Hold.PAUSING


def test_input_for_a_guest_that_stands_waits_for_the_sync_point_behind_it() -> None:
    held = Held()
    held.session.pause()
    held.paused()
    say(held.session, X, SERIAL, 7)
    assert held.stage.take() == [(CPU, m.Kick())]
    held.session.resume()
    assert held.stage.take() == [(CPU, m.Pause(on=False))]
    say(held.session, m.Sync(), CPU, 90)
    assert held.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, X)]


@pytest.mark.parametrize("already", [True, False], ids=["asleep before", "asleep while pausing"])
def test_time_that_a_sleeper_stands_still_is_not_sleep(already: bool) -> None:
    held = Held(sleep=True)
    if already:
        held.sleep(HOUR_NS)
        held.session.pause()
    else:
        held.session.pause()
        held.sleep(HOUR_NS)
    assert held.hold() is Hold.PAUSED
    slept_ns = time.monotonic_ns()
    wait_ns(50_000_000)
    held.session.tick()
    held.stage.take()
    slept_ns = time.monotonic_ns() - slept_ns
    held.session.resume()
    assert held.stage.take() == [(CPU, m.Pause(on=False))]
    say(held.session, X, SERIAL, 50)
    assert 0 <= idle_ns_of(held.stage.take()) < slept_ns


def test_a_sleeper_that_stands_is_woken_by_neither_timer_nor_input_and_costs_no_turns() -> None:
    held = Held(sleep=True)
    held.sleep(1_000_000)
    held.session.pause()
    held.stage.take()
    wait_ns(2_000_000)
    held.session.tick()
    say(held.session, X, SERIAL, 50)
    assert held.stage.take() == []
    remaining_ns = held.session.timeout_ns()
    assert remaining_ns is not None
    assert remaining_ns >= 50_000_000
    held.session.resume()
    assert (SERIAL, X) in held.stage.take()


def test_a_timer_that_was_near_is_as_near_afterwards() -> None:
    held = Held(sleep=True)
    held.sleep(HOUR_NS)
    held.session.pause()
    held.session.resume()
    held.stage.take()
    held.session._idle_from_ns = time.monotonic_ns() - HOUR_NS + 1_000_000
    held.session.pause()
    wait_ns(3_000_000)
    held.session.resume()
    sent = held.stage.take()
    assert not any(isinstance(message, m.SyncPoint) for _, message in sent)
    wait_ns(1_000_000)
    held.session.tick()
    assert idle_ns_of(held.stage.take()) == HOUR_NS


@pytest.mark.parametrize("asleep", [True, False])
def test_the_end_comes_to_a_guest_that_stands_still(asleep: bool) -> None:
    held = Held(sleep=True)
    if asleep:
        held.sleep(HOUR_NS)
    held.session.pause()
    if not asleep:
        held.session.stands_still()
    held.session.quit()
    if not asleep:
        assert held.stage.take() == [(CPU, m.Pause(on=True)), (CPU, m.Pause(on=False)), (CPU, m.Kick())]
        say(held.session, m.Sync(), CPU, 90)
    assert (CPU, m.StopRequest()) in held.stage.take()


def test_the_end_comes_to_a_guest_that_is_about_to_stand_still() -> None:
    held = Held()
    held.session.pause()
    held.session.quit()
    held.session.stands_still()
    assert held.stage.take() == [(CPU, m.Pause(on=True)), (CPU, m.Kick()), (CPU, m.Pause(on=False))]
    assert held.hold() is Hold.RUNNING


@given(holds=st.lists(st.sampled_from(("pause", "resume", "stand", "")), min_size=12, max_size=12))
@settings(deadline=None)
def test_whoever_holds_the_guest_and_whenever_the_same_is_written_down(holds: list[str]) -> None:
    assert _run(holds) == _run([""] * len(holds))


def _run(holds: list[str]) -> list[Said]:
    """A machine without real time whose backend speaks now and then, held in between; what was written down."""
    held = Held()
    hands = iter(holds)

    def hold() -> None:
        match next(hands):
            case "pause":
                held.session.pause()
            case "resume":
                held.session.resume()
            case "stand":
                # The CPU says so only if it has been asked and is not waiting for an answer.
                held.session.stands_still()
            case _:
                pass

    for round_number in range(3):
        icount = 100 * round_number
        hold()
        say(held.session, m.HostInput(m.HostEvent.DATA, b"%d" % round_number, 5), SERIAL, icount)
        hold()
        _go_on(held)
        say(held.session, m.Sync(), CPU, icount + 10)
        hold()
        say(held.session, m.Done(), SERIAL, icount + 10)
        hold()
        _go_on(held)
        say(held.session, m.Sync(idle=True, timer_ns=77), CPU, icount + 50)
        _go_on(held)
    return held.ledger.said()


def _go_on(held: Held) -> None:
    """A CPU that stands still says nothing: it is let go before it speaks."""
    held.session.stands_still()
    held.session.resume()


@pytest.mark.parametrize("kind", [LogReplaySession, LiveReplaySession])
def test_a_replay_stands_still_and_goes_on_to_the_same_end(
    tmp_path: Path, kind: type[LogReplaySession | LiveReplaySession]
) -> None:
    outcomes = []
    for held in (True, False):
        stage = Stage()
        session = kind(recording_of(tmp_path / f"r{held}", RUN), stage.send, None)
        session.start()
        say(session, m.Sync(), CPU, 0)
        if kind is LiveReplaySession:
            say(session, m.Done(), SERIAL, 0)
        if held:
            session.pause()
            session.stands_still()
            assert session.hold is Hold.PAUSED
            session.resume()
            assert stage.take()[-2:] == [(CPU, m.Pause(on=True)), (CPU, m.Pause(on=False))]
        say(session, m.PowerOff(m.PowerOffReason.SHUTDOWN), CPU, 300)
        outcomes.append(session.outcome)
    assert outcomes[0] == outcomes[1] is not None


def test_an_input_of_the_machines_control_is_due_from_its_first_sync_point_on() -> None:
    held = Held()
    late = m.HostInput(m.HostEvent.DATA, b"late", 30, by_monitor=True)
    held.session.submit(SERIAL, late)
    held.session.submit(SERIAL, KEY)
    assert held.session.waiting_inputs == 2
    assert held.stage.take() == [(CPU, m.Kick())]
    say(held.session, m.Sync(), CPU, 1000)
    assert held.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, KEY)]
    say(held.session, m.Done(), SERIAL, 1000)
    assert held.stage.take() == [(CPU, m.Grant(wake_ns=1030))]
    say(held.session, m.Sync(), CPU, 1030)
    assert (SERIAL, late) in held.stage.take()
    assert held.session.waiting_inputs == 0


def test_inputs_in_turn_count_their_delays_from_each_other() -> None:
    held = Held()
    press, release = KEY, m.HostInput(m.HostEvent.DATA, b"y", 100, by_monitor=True)
    for message in (press, release, press):
        held.session.submit(SERIAL, message, in_turn=True)
    for icount, expected in ((10, press), (110, release), (110, press)):
        if expected is not press or icount == 10:
            say(held.session, m.Sync(), CPU, icount)
        assert held.stage.take()[-1] == (SERIAL, expected)
        say(held.session, m.Done(), SERIAL, icount)
    assert held.stage.take() == [(CPU, m.Grant())]


def test_an_input_of_the_machines_control_wakes_a_sleeping_guest() -> None:
    held = Held()
    held.sleep()
    held.session.submit(SERIAL, KEY)
    assert held.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, KEY)]
