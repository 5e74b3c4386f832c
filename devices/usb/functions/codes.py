"""Numbers of the device classes."""

from __future__ import annotations

from typing import Final

# HID class requests (HID 1.11, 7.2).
HID_GET_REPORT: Final = 0x01
HID_GET_IDLE: Final = 0x02
HID_GET_PROTOCOL: Final = 0x03
HID_SET_REPORT: Final = 0x09
HID_SET_IDLE: Final = 0x0A
HID_SET_PROTOCOL: Final = 0x0B

# Requests of the abstract control model (CDC PSTN 1.2, 6.3) and its notification (6.5.4).
CDC_SET_LINE_CODING: Final = 0x20
CDC_GET_LINE_CODING: Final = 0x21
CDC_SET_CONTROL_LINE_STATE: Final = 0x22
CDC_SEND_BREAK: Final = 0x23
CDC_SERIAL_STATE: Final = 0x20

# Requests of the Bulk-Only Transport (1.0, section 3).
BULK_GET_MAX_LUN: Final = 0xFE
BULK_RESET: Final = 0xFF
