"""Replaying: inputs come from the log at their place, and the first difference is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machine import message as m
from machine.codec import encode
from machine.errors import Divergence
from machine.icount import BROKER, CPU
from machine.recording.chain import Chain
from machine.recording.compare import describe, divergence, same
from machine.recording.stops import Stops
from replay_broker.session.live import LiveReplaySession
from replay_broker.session.log import LogReplaySession
from tests.unit.replay_broker.stage import BOARD, RTC, SERIAL, Said, Stage, frame_of, recording_of, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.recording.reader import Recording
    from replay_broker.session.replay import ReplaySession

WRITE = m.MmioAccess((m.Access(m.AccessKind.WRITE, 0, 1, 65),))
RUN: Sequence[Said] = (
    (0, BROKER, CPU, m.SyncPoint()),
    (0, BROKER, SERIAL, m.Reset()),
    (0, SERIAL, CPU, m.IrqLevel(False)),
    (0, SERIAL, BROKER, m.Done()),
    (0, BROKER, RTC, m.Reset()),
    (0, RTC, BROKER, m.Done()),
    (100, CPU, SERIAL, WRITE),
    (100, SERIAL, BROKER, m.HostOutput(b"A")),
    (100, SERIAL, BROKER, m.BackendResult(1)),
    (100, SERIAL, CPU, m.Done()),
    (250, BROKER, CPU, m.SyncPoint(9)),
    (250, BROKER, SERIAL, m.HostInput(m.HostEvent.DATA, b"k")),
    (250, SERIAL, CPU, m.IrqLevel(True)),
    (250, SERIAL, BROKER, m.Done()),
    (300, CPU, BROKER, m.PowerOff(m.PowerOffReason.SHUTDOWN)),
    (300, BROKER, BROKER, m.End(m.PowerOffReason.SHUTDOWN)),
)
"""A whole small run, as it was recorded."""


def chain_of(said: Sequence[Said]) -> bytes:
    """The digest that the recording came to."""
    chain = Chain()
    for icount, source, target, message in said:
        chain.add(frame_of(message, source, target, icount))
    return chain.digest()


def live(recording: Recording, until: int | None = None) -> tuple[LiveReplaySession, Stage]:
    """A replay with devices that has begun."""
    stage = Stage()
    session = LiveReplaySession(recording, stage.send, until)
    session.start()
    return session, stage


def streamed(recording: Recording, until: int | None = None) -> tuple[LogReplaySession, Stage]:
    """A replay from the log that has begun."""
    stage = Stage()
    session = LogReplaySession(recording, stage.send, until)
    session.start()
    return session, stage


def play_live(session: ReplaySession, run: Sequence[Said] = RUN) -> None:
    """Every node says what it said, the CPU comes to its sync points."""
    for icount, source, target, message in run:
        if isinstance(message, m.SyncPoint):
            say(session, m.Sync(), CPU, icount)
        elif source != BROKER and not isinstance(message, m.BackendResult):
            say(session, message, source, icount, target)


def replace_row(number: int, **changes: object) -> list[Said]:
    """The run with one row said otherwise."""
    icount, source, target, message = RUN[number]
    row = {"icount": icount, "source": source, "target": target, "message": message, **changes}
    rows = list(RUN)
    rows[number] = (row["icount"], row["source"], row["target"], row["message"])  # type: ignore[assignment]
    return rows


def test_with_devices_every_input_is_fed_where_it_was_recorded_and_the_run_comes_to_the_same_digest(
    tmp_path: Path,
) -> None:
    session, stage = live(recording_of(tmp_path / "r", RUN))
    assert stage.take() == []
    say(session, m.Sync(), CPU, 0)
    assert stage.take() == [(CPU, m.SyncPoint()), (SERIAL, m.Reset())]
    say(session, m.IrqLevel(False), SERIAL, 0, CPU)
    say(session, m.Done(), SERIAL, 0)
    assert stage.take() == [(CPU, m.IrqLevel(False)), (RTC, m.Reset())]
    say(session, m.Done(), RTC, 0)
    assert stage.take() == [(CPU, m.Grant(until_icount=250))]
    say(session, WRITE, CPU, 100, SERIAL)
    say(session, m.HostOutput(b"A"), SERIAL, 100)
    assert stage.take() == [(SERIAL, WRITE), (SERIAL, m.BackendResult(1))]
    play_live(session, RUN[9:])
    assert session.outcome is not None
    assert session.outcome.state is m.RunState.ENDED
    assert session.outcome.digest == chain_of(RUN)
    assert session.outcome.reason is m.PowerOffReason.SHUTDOWN
    assert session.messages == len(RUN)


def test_from_the_log_the_cpu_gets_everything_ahead_with_a_grant_behind_each_sync_point(tmp_path: Path) -> None:
    session, stage = streamed(recording_of(tmp_path / "r", RUN))
    assert stage.take() == [
        (CPU, m.SyncPoint()),
        (CPU, m.IrqLevel(False)),
        (CPU, m.Grant(until_icount=250)),
        (CPU, m.Done()),
        (CPU, m.SyncPoint(9)),
        (CPU, m.IrqLevel(True)),
        (CPU, m.Grant()),
    ]
    for icount, source, target, message in RUN:
        if source == CPU:
            say(session, message, source, icount, target)
    assert session.outcome is not None
    assert session.outcome.digest == chain_of(RUN)


CASES = {
    "another value": (6, {"message": m.MmioAccess((m.Access(m.AccessKind.WRITE, 0, 1, 66),))}),
    "another instruction": (6, {"icount": 101}),
    "another message": (6, {"message": m.Digest(m.DigestScope.REGISTERS, bytes(32)), "target": BROKER}),
    "another target": (6, {"target": RTC}),
}


@pytest.mark.parametrize(("number", "changes"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("way", [live, streamed])
def test_the_first_difference_of_the_cpu_is_named_either_way(
    way: object, number: int, changes: dict[str, object], tmp_path: Path
) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN)) if way is live else streamed(recording_of(tmp_path / "r", RUN))
    run = replace_row(number, **changes)
    if way is streamed:
        run = [row for row in run if row[1] == CPU]
    with pytest.raises(Divergence) as caught:
        play_live(session, run)
    error = caught.value
    assert (error.stamp.icount, error.stamp.seq, error.process, error.kind) == (100, 7, "cpu", "mmio_access")


def test_a_divergence_says_field_expected_and_actual(tmp_path: Path) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN))
    with pytest.raises(Divergence) as caught:
        play_live(session, replace_row(7, message=m.HostOutput(b"B")))
    assert str(caught.value) == ("divergence at 100/8 in serial0, host_output: expected data=41; actual data=42")


def test_a_device_that_says_more_than_it_did_is_caught(tmp_path: Path) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN))
    more = [*RUN[:9], (100, SERIAL, CPU, m.IrqLevel(True)), *RUN[9:]]
    with pytest.raises(Divergence, match=r"100/10 in serial0, done: expected Done.*; actual IrqLevel"):
        play_live(session, more)


def test_a_device_that_says_less_than_it_did_is_caught(tmp_path: Path) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN))
    with pytest.raises(Divergence, match="100/8 in serial0, host_output"):
        play_live(session, [*RUN[:7], *RUN[9:]])


def test_a_message_behind_the_recording_s_last_is_caught(tmp_path: Path) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN[:10]))
    play_live(session, RUN[:10])
    with pytest.raises(Divergence, match="expected nothing more; actual PowerOff"):
        say(session, m.PowerOff(m.PowerOffReason.SHUTDOWN), CPU, 300)


def test_a_cpu_that_comes_to_its_sync_point_elsewhere_is_caught(tmp_path: Path) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN))
    play_live(session, RUN[:10])
    with pytest.raises(Divergence, match=r"250/11.*the CPU stands at 251"):
        say(session, m.Sync(), CPU, 251)


def test_a_cpu_that_sleeps_where_it_did_not_is_caught_and_not_left_waiting_for_the_log(tmp_path: Path) -> None:
    session, _ = streamed(recording_of(tmp_path / "r", RUN))
    say(session, m.Sync(), CPU, 0)
    say(session, WRITE, CPU, 100, SERIAL)
    say(session, m.Sync(), CPU, 250)
    with pytest.raises(Divergence, match=r"300/15.*PowerOff.*; actual Sync\(idle=True"):
        say(session, m.Sync(idle=True), CPU, 260)


def test_a_replay_that_stops_early_tells_messages_up_to_there(tmp_path: Path) -> None:
    session, _ = streamed(recording_of(tmp_path / "r", RUN), until=200)
    say(session, WRITE, CPU, 100, SERIAL)
    say(session, m.Stopped(b"cpu"), CPU, 200)
    assert session.outcome is not None
    assert session.outcome.state is m.RunState.STOPPED
    assert session.messages == 10


def test_a_stop_before_the_cpu_said_what_it_said_is_caught(tmp_path: Path) -> None:
    session, _ = streamed(recording_of(tmp_path / "r", RUN), until=200)
    with pytest.raises(Divergence, match="100/7 in cpu, mmio_access"):
        say(session, m.Stopped(b"cpu"), CPU, 200)


def test_a_stop_comes_to_one_digest_either_way(tmp_path: Path) -> None:
    recording = recording_of(tmp_path / "r", RUN)
    with_devices, _ = live(recording, until=200)
    play_live(with_devices, RUN[:10])
    from_the_log, _ = streamed(recording, until=200)
    say(from_the_log, WRITE, CPU, 100, SERIAL)
    for session in (with_devices, from_the_log):
        say(session, m.Stopped(b"cpu"), CPU, 200)
    assert with_devices.outcome == from_the_log.outcome


def test_a_log_that_ends_with_what_may_have_been_gathered_has_the_cpu_look_there(tmp_path: Path) -> None:
    written = encode(WRITE)
    lost = m.Grant(until_icount=300, gathered=written, device=SERIAL)
    answered = (*RUN[:-2], (300, CPU, SERIAL, WRITE), (300, SERIAL, CPU, m.Done()))
    for number, (said, last) in enumerate((
        (answered, lost),
        (answered[:-1], lost),
        ((*answered, (400, CPU, BROKER, m.PowerOff(m.PowerOffReason.SHUTDOWN))), m.Grant()),
        ((*answered, (300, BROKER, CPU, m.SyncPoint())), m.Grant()),
        (RUN, m.Grant()),
    )):  # fmt: skip
        stops = Stops(recording_of(tmp_path / str(number), said).frames())
        grants = [stops.take() for _ in range(5)]
        assert grants[grants.index(m.Grant(until_icount=250)) + 1 :].count(lost) == (last == lost)
        assert grants[-1] == m.Grant()


def test_a_recording_that_was_cut_replays_up_to_its_last_message(tmp_path: Path) -> None:
    session, _ = live(recording_of(tmp_path / "r", RUN[:9], close=False))
    play_live(session, RUN[:8])
    assert session.outcome is not None
    assert session.outcome.state is m.RunState.ENDED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data())
def test_no_changed_word_passes(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    spoken = [i for i, row in enumerate(RUN) if row[1] != BROKER and not isinstance(row[3], m.BackendResult)]
    number = data.draw(st.sampled_from(spoken))
    icount = RUN[number][0] + data.draw(st.integers(1, 5))
    session, _ = live(recording_of(tmp_path_factory.mktemp("x") / "r", RUN))
    with pytest.raises(Divergence):
        play_live(session, replace_row(number, icount=icount))


def test_messages_are_the_same_by_everything_but_seq() -> None:
    frame = frame_of(m.Done(1), SERIAL, CPU, 5, 10)
    assert same(frame, frame_of(m.Done(1), SERIAL, CPU, 5))
    for other in (
        frame_of(m.Done(2), SERIAL, CPU, 5),
        frame_of(m.Done(1), RTC, CPU, 5),
        frame_of(m.Done(1), SERIAL, BROKER, 5),
        frame_of(m.Done(1), SERIAL, CPU, 6),
        frame_of(m.TimerCancel(1), SERIAL, CPU, 5),
    ):
        assert not same(frame, other)


def test_a_long_message_is_told_in_one_short_line() -> None:
    assert len(describe(frame_of(m.DmaWrite(0, bytes(5000)), SERIAL, CPU, 0))) <= 160
    left, right = (frame_of(m.DmaWrite(0, bytes(5000) + end), SERIAL, CPU, 0) for end in (b"a", b"b"))
    names = ("broker", "cpu", *(slot.name for slot in BOARD.devices))
    assert len(str(divergence(left, right, names.__getitem__))) < 600
