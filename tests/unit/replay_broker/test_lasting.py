"""A recording whose CPU has died: what it had done and nobody has seen is not there for its successor."""

from __future__ import annotations

from machine import message as m
from machine.icount import BROKER, CPU
from replay_broker.session.base import Hold
from replay_broker.session.lasting import LastingSession
from tests.unit.replay_broker.stage import BOARD, RTC, SERIAL, Stage, TalliedLedger, frame_of, say


def test_a_successor_that_stops_before_its_predecessor_slept_is_told_where_it_stands() -> None:
    stage, ledger = Stage(), TalliedLedger()
    session = LastingSession(BOARD, stage.send, ledger)
    session.start()
    say(session, m.Sync(), CPU)
    for device in (SERIAL, RTC):
        say(session, m.Done(), device)
    # Nothing of this sleep is in the log.
    say(session, m.Sync(idle=True), CPU, 900)
    session.lose_cpu()
    say(session, m.HostInput(m.HostEvent.DATA, b"a"), SERIAL)
    session.regain_cpu(owes_grant=False)
    assert (CPU, m.Kick()) in stage.take()
    say(session, m.Sync(), CPU, 500)
    assert [frame.icount for frame in stage.frames] == [500, 500]
    assert ledger.said()[-2:][0][0] == 500


def test_a_machine_that_was_held_is_held_when_another_cpu_stands_in() -> None:
    stage = Stage()
    session = LastingSession(BOARD, stage.send, TalliedLedger())
    session.start()
    say(session, m.Sync(), CPU)
    for device in (SERIAL, RTC):
        say(session, m.Done(), device)
    session.pause()
    assert session.on_paused(frame_of(m.Paused(session.ticket), CPU, BROKER, 900))
    session.lose_cpu()
    before = session.ticket
    session.regain_cpu(owes_grant=False)
    assert session.stood
    # Its answer counts.
    assert session.ticket == before + 1
    assert session.on_paused(frame_of(m.Paused(before + 1), CPU, BROKER, 500))
    assert (session.hold, session.stood) == (Hold.PAUSED, False)
