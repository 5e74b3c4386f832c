"""The register map of the goldfish RTC (Linux drivers/rtc/rtc-goldfish.c) as numbers; all are 32 bits wide."""

from __future__ import annotations

from typing import Final

TIME_LOW: Final = 0x00
"""A load takes the time and latches its upper half in TIME_HIGH."""
TIME_HIGH: Final = 0x04
ALARM_LOW: Final = 0x08
"""A store sets the alarm; ALARM_HIGH is stored before it."""
ALARM_HIGH: Final = 0x0C
IRQ_ENABLED: Final = 0x10
CLEAR_ALARM: Final = 0x14
ALARM_STATUS: Final = 0x18
CLEAR_INTERRUPT: Final = 0x1C
