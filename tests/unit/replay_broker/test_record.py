"""Recording: what is delivered at a sync point, in which order, and what is written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine import message as m
from machine.errors import RemoteWireError
from machine.icount import BROKER, CPU
from replay_broker.inputs import PendingInputs
from replay_broker.session.base import check_origin
from replay_broker.session.record import TICK_NS
from tests.unit.replay_broker.stage import RTC, SERIAL, Recorded, flow, frame_of, say


class Played(Recorded):
    """A recording session with a machine that has been powered on."""

    def submit(self, data: bytes, icount: int = 0, delay_ns: int = 0) -> None:
        """The serial line's backend has something."""
        say(self.session, m.HostInput(m.HostEvent.DATA, data, delay_ns), SERIAL, icount)


def test_the_first_sync_point_resets_every_device_in_board_order_and_then_lets_the_cpu_run() -> None:
    played = Played()
    played.session.start()
    assert played.stage.take() == []
    say(played.session, m.Sync(), CPU)
    assert played.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, m.Reset())]
    say(played.session, m.Done(), SERIAL)
    assert played.stage.take() == [(RTC, m.Reset())]
    say(played.session, m.Done(), RTC)
    assert played.stage.take() == [(CPU, m.Grant())]


def anew(played: Played, icount: int) -> None:
    """The machine is reset, the CPU first, and lets its CPU run."""
    assert played.stage.take() == [(CPU, m.SyncPoint()), (CPU, m.Reset()), (SERIAL, m.Reset())]
    say(played.session, m.Done(), SERIAL, icount)
    assert played.stage.take() == [(RTC, m.Reset())]
    say(played.session, m.Done(), RTC, icount)
    assert played.stage.take() == [(CPU, m.Grant())]


def test_a_reset_by_control_waits_for_a_sync_point_and_a_restart_by_the_guest_opens_one() -> None:
    played = Played().power_on()
    played.session.reset()
    assert played.stage.take() == [(CPU, m.Kick())]
    say(played.session, m.Sync(), CPU, 500)
    anew(played, 500)
    assert (played.session.resets, played.session.reset_by_guest) == (1, False)
    say(played.session, m.PowerOff(m.PowerOffReason.REBOOT), CPU, 700)
    anew(played, 700)
    assert (played.session.resets, played.session.reset_by_guest) == (2, True)
    assert played.session.outcome is None


def test_every_logged_message_has_the_next_seq() -> None:
    played = Played().power_on()
    assert [frame.seq for frame in played.ledger.frames] == list(range(1, len(played.ledger.frames) + 1))


def test_an_input_waits_for_the_next_sync_point_and_is_stamped_there() -> None:
    played = Played().power_on()
    played.submit(b"a", icount=10)
    assert played.stage.take() == [(CPU, m.Kick())]
    say(played.session, m.Sync(), CPU, 500)
    assert played.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, m.HostInput(m.HostEvent.DATA, b"a"))]
    assert played.ledger.said()[-1] == (500, BROKER, SERIAL, m.HostInput(m.HostEvent.DATA, b"a"))


def test_inputs_of_one_sync_point_go_one_by_one_in_the_order_they_came() -> None:
    played = Played().power_on()
    for data in (b"1", b"2"):
        played.submit(data)
    say(played.session, m.Sync(), CPU, 7)
    assert played.stage.take()[-1] == (SERIAL, m.HostInput(m.HostEvent.DATA, b"1"))
    say(played.session, m.IrqLevel(True), SERIAL, 7, CPU)
    assert played.stage.take() == [(CPU, m.IrqLevel(True))]
    say(played.session, m.Done(), SERIAL, 7)
    assert played.stage.take() == [(SERIAL, m.HostInput(m.HostEvent.DATA, b"2"))]
    say(played.session, m.Done(), SERIAL, 7)
    assert played.stage.take() == [(CPU, m.Grant())]


def test_a_running_cpu_is_kicked_once_however_many_inputs_wait() -> None:
    played = Played().power_on()
    for _ in range(5):
        played.submit(b"x")
    assert flow(played.stage.take()) == [m.Kick()]


def test_a_cpu_that_stands_at_a_sync_point_is_not_kicked() -> None:
    played = Played().power_on()
    played.submit(b"1")
    say(played.session, m.Sync(), CPU, 7)
    played.stage.take()
    played.submit(b"2", icount=7)
    assert played.stage.take() == []
    say(played.session, m.Done(), SERIAL, 7)
    assert played.stage.take() == [(SERIAL, m.HostInput(m.HostEvent.DATA, b"2"))]


def test_an_input_with_a_delay_is_not_delivered_before_its_time() -> None:
    played = Played().power_on()
    played.submit(b"later", icount=100, delay_ns=900)
    say(played.session, m.Sync(), CPU, 999)
    assert played.stage.take()[-1] == (CPU, m.Grant(wake_ns=1000))
    say(played.session, m.Sync(), CPU, 1000)
    assert (SERIAL, m.HostInput(m.HostEvent.DATA, b"later", 900)) in played.stage.take()


def test_without_sleep_an_idle_guest_jumps_to_its_timer() -> None:
    played = Played().power_on()
    say(played.session, m.Sync(idle=True, timer_ns=12_345), CPU, 50)
    assert played.stage.take() == [(CPU, m.SyncPoint(12_345)), (CPU, m.Grant())]


def test_without_sleep_an_idle_guest_jumps_to_a_delayed_input_that_comes_before_its_timer() -> None:
    played = Played().power_on()
    played.submit(b"x", icount=0, delay_ns=500)
    played.stage.take()
    say(played.session, m.Sync(idle=True, timer_ns=12_345), CPU, 50)
    assert played.stage.take() == [(CPU, m.SyncPoint(450)), (SERIAL, m.HostInput(m.HostEvent.DATA, b"x", 500))]


def test_a_guest_that_sleeps_without_a_timer_waits_for_an_input() -> None:
    played = Played().power_on()
    say(played.session, m.Sync(idle=True), CPU, 50)
    assert played.stage.take() == []
    played.submit(b"x", icount=50)
    assert played.stage.take() == [(CPU, m.SyncPoint(0)), (SERIAL, m.HostInput(m.HostEvent.DATA, b"x"))]


def test_with_sleep_an_idle_guest_waits_in_real_time_and_never_beyond_its_timer() -> None:
    played = Played(sleep=True).power_on()
    say(played.session, m.Sync(idle=True, timer_ns=3_600 * 10**9), CPU, 50)
    assert played.stage.take() == []
    remaining = played.session.timeout_ns()
    assert remaining is not None
    assert 0 < remaining <= TICK_NS
    played.submit(b"x", icount=50)
    target, sync_point = played.stage.take()[0]
    assert target == CPU
    assert isinstance(sync_point, m.SyncPoint)
    assert 0 < sync_point.idle_ns < 3_600 * 10**9


def test_with_sleep_a_timer_that_is_due_ends_the_sleep_by_exactly_its_distance() -> None:
    played = Played(sleep=True).power_on()
    say(played.session, m.Sync(idle=True, timer_ns=1), CPU, 50)
    while not (sent := played.stage.take()):
        played.session.tick()
    assert sent == [(CPU, m.SyncPoint(1)), (CPU, m.Grant())]


def test_the_clock_is_read_once_for_each_question_and_written_down() -> None:
    played = Played().power_on()
    say(played.session, m.ClockRead(), RTC, 9)
    assert played.stage.take() == [(RTC, m.ClockReading(7 * 10**9))]
    assert played.ledger.said()[-2:] == [
        (9, RTC, BROKER, m.ClockRead()),
        (9, BROKER, RTC, m.ClockReading(7 * 10**9)),
    ]


def test_what_goes_to_a_backend_is_written_down_and_goes_nowhere_else() -> None:
    played = Played().power_on()
    say(played.session, m.HostOutput(b"out"), SERIAL, 9)
    say(played.session, m.BackendResult(3), SERIAL, 9)
    assert played.stage.take() == []
    assert [message for *_, message in played.ledger.said()][-2:] == [m.HostOutput(b"out"), m.BackendResult(3)]


def test_a_power_off_asks_every_node_for_its_state_and_ends_the_recording() -> None:
    played = Played().power_on()
    say(played.session, m.PowerOff(m.PowerOffReason.SHUTDOWN), CPU, 1000)
    for node in (CPU, SERIAL, RTC):
        assert played.stage.take() == [(node, m.StateRequest())]
        say(played.session, m.Digest(m.DigestScope.ALL, bytes(32)), node, 1000)
    outcome = played.session.outcome
    assert outcome is not None
    assert (outcome.state, outcome.reason) == (m.RunState.ENDED, m.PowerOffReason.SHUTDOWN)
    assert outcome.digest == played.ledger.digest()
    assert played.ledger.said()[-1] == (1000, BROKER, BROKER, m.End(m.PowerOffReason.SHUTDOWN))
    assert played.ledger.closed is True


def test_quitting_ends_the_run_at_the_next_sync_point_in_order() -> None:
    played = Played().power_on()
    played.session.quit()
    assert played.stage.take() == [(CPU, m.Kick())]
    say(played.session, m.Sync(), CPU, 77)
    assert played.stage.take() == [(CPU, m.SyncPoint()), (CPU, m.StopRequest()), (CPU, m.StateRequest())]


def test_quitting_wakes_a_sleeping_guest() -> None:
    played = Played().power_on()
    say(played.session, m.Sync(idle=True), CPU, 50)
    played.session.quit()
    assert (CPU, m.StopRequest()) in played.stage.take()


def test_done_that_nobody_waits_for_is_refused() -> None:
    played = Played().power_on()
    with pytest.raises(RemoteWireError, match="serial0 sent Done for nothing"):
        say(played.session, m.Done(), SERIAL)


@pytest.mark.parametrize(
    ("message", "source", "target", "told"),
    [
        (m.MmioAccess(()), SERIAL, CPU, "node 2 may not send mmio_access"),
        (m.IrqLevel(True), CPU, SERIAL, "node 1 may not send irq_level"),
        (m.Grant(), SERIAL, CPU, "node 2 may not send grant"),
        (m.IrqLevel(True), SERIAL, SERIAL, "to node 2, which is none"),
        (m.IrqLevel(True), SERIAL, 9, "to node 9, which is none"),
    ],
)
def test_nobody_speaks_out_of_turn(message: m.Message, source: int, target: int, told: str) -> None:
    with pytest.raises(RemoteWireError, match=told):
        check_origin(frame_of(message, source, target, 0), f"node {source}", 4)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1000)), max_size=30), st.integers(0, 60))
def test_inputs_come_out_by_time_and_then_by_arrival_and_never_early(rows: list[tuple[int, int]], now: int) -> None:
    pending = PendingInputs()
    for due_ns, mark in rows:
        pending.add(frame_of(m.Reset(), BROKER, SERIAL, mark), due_ns)
    assert pending.next_ns() == min((due for due, _ in rows), default=None)
    taken = []
    while (frame := pending.take(now)) is not None:
        taken.append(frame.icount)
    assert taken == [mark for _, mark in sorted((r for r in rows if r[0] <= now), key=lambda row: row[0])]
