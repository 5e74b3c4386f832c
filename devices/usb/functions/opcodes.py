"""SCSI operation codes and the fields of commands that matter to a disk (SPC-4, SBC-3) as numbers."""

from __future__ import annotations

from typing import Final

TEST_UNIT_READY: Final = 0x00
REQUEST_SENSE: Final = 0x03
READ_6: Final = 0x08
WRITE_6: Final = 0x0A
INQUIRY: Final = 0x12
MODE_SENSE_6: Final = 0x1A
START_STOP_UNIT: Final = 0x1B
PREVENT_ALLOW: Final = 0x1E
READ_FORMAT_CAPACITIES: Final = 0x23
READ_CAPACITY_10: Final = 0x25
READ_10: Final = 0x28
WRITE_10: Final = 0x2A
VERIFY_10: Final = 0x2F
SYNCHRONIZE_CACHE_10: Final = 0x35
MODE_SENSE_10: Final = 0x5A
READ_16: Final = 0x88
WRITE_16: Final = 0x8A
VERIFY_16: Final = 0x8F
SYNCHRONIZE_CACHE_16: Final = 0x91
READ_CAPACITY_16: Final = 0x9E
REPORT_LUNS: Final = 0xA0
READ_12: Final = 0xA8
WRITE_12: Final = 0xAA

READ_CAPACITY_ACTION: Final = 0x10
"""READ CAPACITY(16) is an action of SERVICE ACTION IN(16)."""
BYTE_CHECK: Final = 0x06
"""VERIFY: compare with data."""
CACHING_PAGE: Final = 0x08
ALL_PAGES: Final = 0x3F
WRITE_CACHE: Final = 0x04
CHANGEABLE_VALUES: Final = 1
SAVED_VALUES: Final = 3
