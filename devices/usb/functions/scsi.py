"""The SCSI commands of a disk (SPC-4, SBC-3): what each means, without moving a byte of the medium.

Lives here: reading a command descriptor block, answers made from the disk's own facts.
Never here: the transport, the image.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from devices.usb.functions import opcodes as o
from devices.usb.functions import sense as f

if TYPE_CHECKING:
    from devices.usb.functions.sense import Sense
    from devices.usb.functions.state import StorageState

VENDOR: Final = b"DEJAVM  "
PRODUCT: Final = b"USB DISK        "
REVISION: Final = b"1.0 "
SENSE_BYTES: Final = 18
_ALWAYS: Final = (o.INQUIRY, o.REPORT_LUNS, o.REQUEST_SENSE, o.START_STOP_UNIT, o.PREVENT_ALLOW)
"""Commands that need no medium."""


class Plan(NamedTuple):
    """What a command comes to: an answer, blocks to read or to write, a flush, or a failure."""

    answer: bytes = b""
    block: int = 0
    reads: int = 0
    """Blocks."""
    writes: int = 0
    flushes: bool = False
    failure: Sense = f.NOTHING


DONE: Final = Plan()


def plan(disk: StorageState, command: bytes, serial: str) -> Plan:
    """What the 16 bytes of a command ask for; commands that change the disk's own state do so."""
    operation = command[0]
    if not disk.started and operation not in _ALWAYS:
        return fail(f.NOT_STARTED)
    match operation:
        case o.READ_6 | o.READ_10 | o.READ_12 | o.READ_16 | o.WRITE_6 | o.WRITE_10 | o.WRITE_12 | o.WRITE_16:
            return _move(disk, command)
        case o.TEST_UNIT_READY:
            return DONE
        case o.INQUIRY:
            return _inquire(command, serial)
        case o.REQUEST_SENSE:
            answer, disk.sense = f.fixed_format(disk.sense), f.NOTHING
            return Plan(answer[: command[4]])
        case o.READ_CAPACITY_10 | o.READ_CAPACITY_16 | o.READ_FORMAT_CAPACITIES:
            return _capacity(disk, command)
        case o.MODE_SENSE_6 | o.MODE_SENSE_10:
            return _mode(disk, command)
        case o.REPORT_LUNS:
            size = int.from_bytes(command[6:10], "big")
            return Plan(struct.pack(">IIQ", 8, 0, 0)[:size])
        case o.SYNCHRONIZE_CACHE_10 | o.SYNCHRONIZE_CACHE_16:
            return Plan(flushes=True)
        case o.VERIFY_10 | o.VERIFY_16:
            return _verify(disk, command)
        case o.START_STOP_UNIT:
            return _start_stop(disk, command)
        case o.PREVENT_ALLOW:
            disk.locked = bool(command[4] & 1)
            return DONE
        case _:
            return fail(f.INVALID_COMMAND)


def fail(sense: Sense) -> Plan:
    """CHECK CONDITION."""
    return Plan(failure=sense)


def _blocks(disk: StorageState) -> int:
    return disk.size // disk.block_size


def _range(command: bytes) -> tuple[int, int]:
    """First block and number of blocks, by the group of the operation code (SPC-4, 4.3)."""
    match command[0] >> 5:
        case 0:
            return int.from_bytes(command[1:4], "big") & 0x1F_FFFF, command[4] or 256
        case 1 | 2:
            return int.from_bytes(command[2:6], "big"), int.from_bytes(command[7:9], "big")
        case 5:
            return int.from_bytes(command[2:6], "big"), int.from_bytes(command[6:10], "big")
        case _:
            return int.from_bytes(command[2:10], "big"), int.from_bytes(command[10:14], "big")


def _move(disk: StorageState, command: bytes) -> Plan:
    first, count = _range(command)
    writes = command[0] in (o.WRITE_6, o.WRITE_10, o.WRITE_12, o.WRITE_16)
    if first + count > _blocks(disk):
        return fail(f.OUT_OF_RANGE)
    if writes and disk.read_only:
        return fail(f.WRITE_PROTECTED)
    return Plan(block=first, writes=count) if writes else Plan(block=first, reads=count)


def _verify(disk: StorageState, command: bytes) -> Plan:
    """The medium has no errors of its own, so being there is being right; comparing with data is not offered."""
    first, count = _range(command)
    if command[1] & o.BYTE_CHECK:
        return fail(f.INVALID_FIELD)
    return fail(f.OUT_OF_RANGE) if first + count > _blocks(disk) else DONE


def _inquire(command: bytes, serial: str) -> Plan:
    size = int.from_bytes(command[3:5], "big")
    if not command[1] & 1:
        if command[2]:
            return fail(f.INVALID_FIELD)
        # Direct access, removable, SPC-4, response format 2.
        return Plan((bytes((0, 0x80, 6, 2, 31, 0, 0, 0)) + VENDOR + PRODUCT + REVISION)[:size])
    identity = b"\x02\x01\x00" + bytes((len(VENDOR) + len(serial),)) + VENDOR + serial.encode()
    pages = {
        0x00: bytes((0x00, 0x80, 0x83, 0xB0)),
        0x80: serial.encode(),
        0x83: identity,
        # Block limits: no bounds but those of the commands.
        0xB0: bytes(60),
    }
    page = pages.get(command[2])
    if page is None:
        return fail(f.INVALID_FIELD)
    return Plan((struct.pack(">BBH", 0, command[2], len(page)) + page)[:size])


def _capacity(disk: StorageState, command: bytes) -> Plan:
    last = _blocks(disk) - 1
    if command[0] == o.READ_CAPACITY_10:
        return Plan(struct.pack(">II", min(last, 0xFFFF_FFFF), disk.block_size))
    if command[0] == o.READ_FORMAT_CAPACITIES:
        size = int.from_bytes(command[7:9], "big")
        # One descriptor, of formatted media.
        return Plan(struct.pack(">III", 8, min(last + 1, 0xFFFF_FFFF), 2 << 24 | disk.block_size)[:size])
    if command[1] & 0x1F != o.READ_CAPACITY_ACTION:
        return fail(f.INVALID_FIELD)
    size = int.from_bytes(command[10:14], "big")
    return Plan(struct.pack(">QI20x", last, disk.block_size)[:size])


def _mode(disk: StorageState, command: bytes) -> Plan:
    """Header and the caching page: written data may wait until SYNCHRONIZE CACHE."""
    page, subpage = command[2] & 0x3F, command[3]
    if page not in (o.CACHING_PAGE, o.ALL_PAGES) or subpage not in (0, 0xFF):
        return fail(f.INVALID_FIELD)
    if command[2] >> 6 == o.SAVED_VALUES:
        return fail(f.INVALID_FIELD)
    # Nothing of the page can be changed.
    flags = 0 if command[2] >> 6 == o.CHANGEABLE_VALUES else o.WRITE_CACHE
    caching = bytes((o.CACHING_PAGE, 18, flags)).ljust(20, b"\0")
    protection = 0x80 if disk.read_only else 0
    if command[0] == o.MODE_SENSE_6:
        return Plan((bytes((3 + len(caching), 0, protection, 0)) + caching)[: command[4]])
    size = int.from_bytes(command[7:9], "big")
    return Plan((struct.pack(">HBBI", 6 + len(caching), 0, protection, 0) + caching)[:size])


def _start_stop(disk: StorageState, command: bytes) -> Plan:
    start, eject = bool(command[4] & 1), bool(command[4] & 2)
    if eject and not start and disk.locked:
        return fail(f.REMOVAL_PREVENTED)
    if not command[4] >> 4:
        disk.started = start
    return DONE if start else Plan(flushes=True)
