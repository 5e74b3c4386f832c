"""The goldfish RTC as the guest sees it (semantics of QEMU's hw/rtc/goldfish_rtc.c).

Lives here: time, alarm and interrupt registers.
Never here: a clock; each reading of the host's is asked of the context and is a recorded input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.rtc import registers as r
from devices.rtc.state import RtcState

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from machine.message import HostEvent

ALARM_TIMER: Final = 0
LONGEST_DELAY_NS: Final = 1 << 62
"""146 years: an alarm further away waits no longer, so that no timer overflows 64 bits of virtual time."""
_LOW: Final = 0xFFFF_FFFF
_ALL: Final = (1 << 64) - 1


class Rtc:
    """One clock; everything it remembers is in `state`.  Every access is a call: clocks are rarely looked at."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = RtcState()

    def reset(self, context: DeviceContext) -> None:
        """Power-on: the host's time, no alarm."""
        if self.state.alarm_running:
            context.cancel_timer(ALARM_TIMER)
        self.state = RtcState(interrupt=self.state.interrupt)

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """A load; TIME_LOW is the only one that reads the host's clock."""
        s = self.state
        match offset:
            case r.TIME_LOW:
                now = self._read_time(context)
                s.time_high = now >> 32
                return now & _LOW
            case r.TIME_HIGH:
                return s.time_high
            case r.ALARM_LOW:
                return s.alarm_ns & _LOW
            case r.ALARM_HIGH:
                return s.alarm_ns >> 32
            case r.IRQ_ENABLED:
                return int(s.interrupt_enabled)
            case r.ALARM_STATUS:
                return int(s.alarm_running)
            case _:
                return 0

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """A store; setting one half of the time moves the offset to the host's clock."""
        s = self.state
        match offset:
            case r.TIME_LOW | r.TIME_HIGH:
                now = self._read_time(context)
                wanted = _with_low(now, value) if offset == r.TIME_LOW else _with_high(now, value)
                s.offset_ns = (s.offset_ns + wanted - now) & _ALL
            case r.ALARM_LOW:
                s.alarm_ns = _with_low(s.alarm_ns, value)
                self._set_alarm(context)
            case r.ALARM_HIGH:
                s.alarm_ns = _with_high(s.alarm_ns, value)
            case r.IRQ_ENABLED:
                s.interrupt_enabled = bool(value & 1)
            case r.CLEAR_ALARM:
                self._stop_alarm(context)
            case r.CLEAR_INTERRUPT:
                s.interrupt_pending = False
            case _:
                pass

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """There is no queue."""

    def settle(self, context: DeviceContext) -> None:
        """Drive the interrupt line when it has changed."""
        s = self.state
        level = s.interrupt_pending and s.interrupt_enabled
        if level != s.interrupt:
            s.interrupt = level
            context.set_irq(level)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """There is no backend that says anything."""

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """The alarm."""
        self.state.alarm_running = False
        self.state.interrupt_pending = True

    def input_room(self) -> int:
        """Nothing comes in."""
        return 0

    def _read_time(self, context: DeviceContext) -> int:
        """The guest's time by a new reading of the host's clock."""
        self.state.cached_ns = context.read_clock() & _ALL
        return self._cached_time()

    def _cached_time(self) -> int:
        return (self.state.cached_ns + self.state.offset_ns) & _ALL

    def _set_alarm(self, context: DeviceContext) -> None:
        """Arm the alarm by the last reading: a deadline is no reason to ask the host again."""
        s = self.state
        now = self._cached_time() if s.cached_ns else self._read_time(context)
        if s.alarm_ns <= now:
            self._stop_alarm(context)
            s.interrupt_pending = True
            return
        s.alarm_running = True
        context.arm_timer(ALARM_TIMER, min(s.alarm_ns - now, LONGEST_DELAY_NS))

    def _stop_alarm(self, context: DeviceContext) -> None:
        if self.state.alarm_running:
            self.state.alarm_running = False
            context.cancel_timer(ALARM_TIMER)


def _with_low(value: int, low: int) -> int:
    return value & ~_LOW | low & _LOW


def _with_high(value: int, high: int) -> int:
    return value & _LOW | (high & _LOW) << 32
