"""Memory that one device has written is stored before another device, or the same again, is told anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine import message as m
from machine.icount import BROKER, CPU
from tests.unit.replay_broker.stage import RTC, SERIAL, Said, recording_of, say
from tests.unit.replay_broker.test_record import Played
from tests.unit.replay_broker.test_replay import live

if TYPE_CHECKING:
    from pathlib import Path

DMA = m.DmaWrite(0x8000_0000, b"written")
FIRST = m.HostInput(m.HostEvent.DATA, b"1")
SECOND = m.HostInput(m.HostEvent.DATA, b"2")
TWO_INPUTS: tuple[Said, ...] = (
    (0, BROKER, CPU, m.SyncPoint()),
    (0, BROKER, SERIAL, FIRST),
    (0, SERIAL, CPU, DMA),
    (0, SERIAL, BROKER, m.Done()),
    (0, BROKER, RTC, SECOND),
    (0, RTC, BROKER, m.Done()),
    (9, CPU, BROKER, m.PowerOff(m.PowerOffReason.SHUTDOWN)),
    (9, BROKER, BROKER, m.End(m.PowerOffReason.SHUTDOWN)),
)


def two_inputs() -> Played:
    """A recording at a sync point with two inputs, the first of which has been delivered."""
    played = Played().power_on()
    for device, message in ((SERIAL, FIRST), (RTC, SECOND)):
        say(played.session, message, device, 5)
    say(played.session, m.Sync(), CPU, 10)
    assert played.stage.take()[-2:] == [(CPU, m.SyncPoint()), (SERIAL, FIRST)]
    return played


def test_while_recording_the_next_input_waits_until_the_cpu_has_stored_what_was_written() -> None:
    played = two_inputs()
    say(played.session, DMA, SERIAL, 10, CPU)
    say(played.session, m.Done(), SERIAL, 10)
    assert played.stage.take() == [(CPU, DMA), (CPU, m.Settle())]
    say(played.session, m.Settle(), CPU, 10)
    assert played.stage.take() == [(RTC, SECOND)]
    say(played.session, m.Done(), RTC, 10)
    assert played.stage.take() == [(CPU, m.Grant())]
    assert not any(isinstance(message, m.Settle) for *_, message in played.ledger.said())


def test_nobody_is_asked_where_nothing_was_written_or_nothing_follows() -> None:
    played = two_inputs()
    say(played.session, m.Done(), SERIAL, 10)
    assert played.stage.take() == [(RTC, SECOND)]
    say(played.session, DMA, RTC, 10, CPU)
    say(played.session, m.Done(), RTC, 10)
    assert played.stage.take() == [(CPU, DMA), (CPU, m.Grant())]


def test_a_replay_with_devices_waits_too(tmp_path: Path) -> None:
    session, stage = live(recording_of(tmp_path / "x.dejavm", TWO_INPUTS))
    say(session, m.Sync(), CPU)
    assert stage.take() == [(CPU, m.SyncPoint()), (SERIAL, FIRST)]
    say(session, DMA, SERIAL, 0, CPU)
    say(session, m.Done(), SERIAL)
    assert stage.take() == [(CPU, DMA), (CPU, m.Settle())]
    say(session, m.Settle(), CPU)
    assert stage.take() == [(RTC, SECOND)]
