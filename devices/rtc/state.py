"""Everything the goldfish RTC remembers."""

from __future__ import annotations

from dataclasses import dataclass

from machine.bounds import U32, U64
from machine.vmstate import vmstate


@vmstate("goldfish-rtc", 1)
@dataclass(slots=True)
class RtcState:
    """Times are nanoseconds since the epoch, modulo 2^64."""

    offset_ns: U64 = 0
    """What the guest's stores have added to the host's clock."""
    cached_ns: U64 = 0
    """The host's clock as last read; 0 before the first reading."""
    time_high: U32 = 0
    alarm_ns: U64 = 0
    alarm_running: bool = False
    interrupt_enabled: bool = False
    interrupt_pending: bool = False
    interrupt: bool = False
    """The level of the interrupt line, as last driven."""
