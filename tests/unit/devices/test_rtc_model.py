"""The goldfish RTC keeps the host's time as it was recorded, plus what the guest has set."""

from __future__ import annotations

from devices.rtc import registers as r
from devices.rtc.model import LONGEST_DELAY_NS, Rtc
from machine.message import IrqLevel, TimerArm, TimerCancel
from tests.harness.fake_context import DirectCpu, FakeContext

START = 1_700_000_000_123_456_789


class Guest:
    """A driver's accesses, each a message, and the effects they had."""

    def __init__(self) -> None:
        self.context = FakeContext(clock_ns=START)
        self.model = Rtc()
        self.model.reset(self.context)
        self.model.settle(self.context)

    def load(self, offset: int) -> int:
        value = self.model.read(offset, 4, self.context)
        self.model.settle(self.context)
        return value

    def store(self, offset: int, value: int) -> None:
        self.model.write(offset, 4, value, self.context)
        self.model.settle(self.context)

    def time(self) -> int:
        low = self.load(r.TIME_LOW)
        return self.load(r.TIME_HIGH) << 32 | low

    def set_alarm(self, at: int) -> None:
        self.store(r.ALARM_HIGH, at >> 32)
        self.store(r.ALARM_LOW, at & 0xFFFF_FFFF)


def test_a_load_of_the_low_half_latches_the_high_half_and_is_the_only_reading() -> None:
    guest = Guest()
    assert guest.time() == START
    assert guest.context.clock_reads == 1
    guest.context.clock_ns += 1 << 33
    assert guest.load(r.TIME_HIGH) == START >> 32
    assert guest.context.clock_reads == 1


def test_setting_the_time_moves_it_by_an_offset() -> None:
    guest = Guest()
    wanted = 5_000_000_000_000
    guest.store(r.TIME_HIGH, wanted >> 32)
    guest.store(r.TIME_LOW, wanted & 0xFFFF_FFFF)
    guest.context.clock_ns += 77
    assert guest.time() == wanted + 77


def test_an_alarm_is_armed_by_the_cached_time() -> None:
    guest = Guest()
    now = guest.time()
    guest.context.clock_ns += 10**9
    guest.set_alarm(now + 3 * 10**9)
    assert guest.context.effects == [TimerArm(0, 3 * 10**9)]
    assert guest.context.clock_reads == 1
    assert guest.load(r.ALARM_STATUS) == 1
    assert guest.load(r.ALARM_HIGH) << 32 | guest.load(r.ALARM_LOW) == now + 3 * 10**9


def test_an_alarm_interrupts_once_it_is_enabled_and_until_it_is_cleared() -> None:
    guest = Guest()
    guest.set_alarm(guest.time() + 5)
    guest.context.effects.clear()
    guest.model.timer_expired(0, guest.context)
    guest.model.settle(guest.context)
    assert guest.context.effects == []
    assert guest.load(r.ALARM_STATUS) == 0
    guest.store(r.IRQ_ENABLED, 1)
    guest.store(r.CLEAR_INTERRUPT, 1)
    assert guest.context.effects == [IrqLevel(True), IrqLevel(False)]


def test_an_alarm_in_the_past_is_due_at_once() -> None:
    guest = Guest()
    guest.store(r.IRQ_ENABLED, 1)
    guest.set_alarm(guest.time() - 1)
    assert guest.context.effects == [IrqLevel(True)]


def test_a_cleared_alarm_is_disarmed() -> None:
    guest = Guest()
    guest.set_alarm(guest.time() + 5)
    guest.store(r.CLEAR_ALARM, 1)
    assert guest.context.effects[-1] == TimerCancel(0)
    assert guest.load(r.ALARM_STATUS) == 0


def test_an_alarm_before_any_reading_takes_one() -> None:
    guest = Guest()
    guest.set_alarm(START + 9)
    assert TimerArm(0, 9) in guest.context.effects


def test_the_furthest_alarm_overflows_no_timer() -> None:
    guest = Guest()
    guest.time()
    guest.set_alarm((1 << 64) - 1)
    assert guest.context.effects[-1] == TimerArm(0, LONGEST_DELAY_NS)


def test_the_interrupt_line_of_a_reset_clock_is_low() -> None:
    cpu = DirectCpu(Rtc())
    cpu.reset()
    cpu.store(r.IRQ_ENABLED, 1, 4)
    cpu.store(r.ALARM_LOW, 0, 4)
    assert cpu.line()
    cpu.reset()
    assert not cpu.line()
    assert cpu.model.state == Rtc().state
