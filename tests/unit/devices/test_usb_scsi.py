"""The disk's SCSI commands: what each answers, what it moves, how it fails."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.usb.functions import opcodes as o
from devices.usb.functions.sense import sense_of
from devices.usb.messages import StorageDescription
from tests.harness.usb_disk import BLOCK, BLOCKS, Disk, sixteen, ten

INQUIRY = bytes((o.INQUIRY, 0, 0, 0, 36, 0))
READY = bytes(6)


def test_inquiry_names_the_disk_and_its_pages() -> None:
    disk = Disk()
    data, residue, status = disk.command(INQUIRY, 36)
    assert (data[:2], data[8:16], residue, status) == (b"\0\x80", b"DEJAVM  ", 0, 0)
    for page in disk.command(bytes((o.INQUIRY, 1, 0, 0, 255, 0)), 255)[0][4:]:
        data, _, status = disk.command(bytes((o.INQUIRY, 1, page, 0, 255, 0)), 255)
        assert (data[1], len(data), status) == (page, 4 + int.from_bytes(data[2:4], "big"), 0)
    assert disk.command(bytes((o.INQUIRY, 1, 0x99, 0, 255, 0)), 255)[2] == 1
    assert disk.sense() == (5, 0x24, 0)


def test_an_answer_shorter_than_expected_leaves_a_residue() -> None:
    disk = Disk()
    data, residue, status = disk.command(INQUIRY, 64)
    assert (len(data), residue, status) == (36, 28, 0)


def test_capacities() -> None:
    disk = Disk(StorageDescription(4096 * (1 << 33), 4096))
    assert disk.command(bytes((o.READ_CAPACITY_10,)) + bytes(9), 8)[0] == struct.pack(">II", 0xFFFF_FFFF, 4096)
    sixteen_bytes = bytes((o.READ_CAPACITY_16, 0x10)) + bytes(8) + struct.pack(">IH", 32, 0)
    assert disk.command(sixteen_bytes, 32)[0][:12] == struct.pack(">QI", (1 << 33) - 1, 4096)
    formats = bytes((o.READ_FORMAT_CAPACITIES,)) + bytes(6) + b"\0\xfc\0"
    assert disk.command(formats, 252)[0] == struct.pack(">III", 8, 0xFFFF_FFFF, 2 << 24 | 4096)
    assert disk.command(bytes((o.READ_CAPACITY_16, 0x11)) + bytes(14), 32)[2] == 1
    assert disk.command(bytes((o.REPORT_LUNS,)) + bytes(5) + struct.pack(">IH", 16, 0), 16)[0][:4] == b"\0\0\0\x08"


@pytest.mark.parametrize("read_only", [False, True])
def test_mode_sense_tells_of_the_write_cache_and_of_write_protection(read_only: bool) -> None:
    disk = Disk(StorageDescription(BLOCK * 8, BLOCK, read_only))
    six, _, _ = disk.command(bytes((o.MODE_SENSE_6, 0, 0x3F, 0, 192, 0)), 192)
    assert (six[0] + 1, six[2], six[4], six[6]) == (len(six), 0x80 * read_only, 8, 4)
    long, _, _ = disk.command(bytes((o.MODE_SENSE_10, 0, 8, 0, 0, 0, 0, 0, 192, 0)), 192)
    assert (int.from_bytes(long[:2], "big") + 2, long[3], long[10]) == (len(long), 0x80 * read_only, 4)
    assert disk.command(bytes((o.MODE_SENSE_6, 0, 0x48, 0, 192, 0)), 192)[0][6] == 0
    assert disk.command(bytes((o.MODE_SENSE_6, 0, 0xC8, 0, 192, 0)), 192)[2] == 1
    assert disk.command(bytes((o.MODE_SENSE_6, 0, 0x1C, 0, 192, 0)), 192)[2] == 1


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (bytes((o.WRITE_6, 0, 0, 7, 2, 0)), bytes((o.READ_6, 0, 0, 7, 2, 0))),
        (ten(o.WRITE_10, 7, 2), ten(o.READ_10, 7, 2)),
        (struct.pack(">BBIIBB", o.WRITE_12, 0, 7, 2, 0, 0), struct.pack(">BBIIBB", o.READ_12, 0, 7, 2, 0, 0)),
        (sixteen(o.WRITE_16, 7, 2), sixteen(o.READ_16, 7, 2)),
    ],
)
def test_what_is_written_is_read(write: bytes, read: bytes) -> None:
    disk = Disk()
    data = bytes(range(256)) * 4
    assert disk.command(write, data=data) == (b"", 0, 0)
    assert disk.image == {7: data[:BLOCK], 8: data[BLOCK:]}
    assert disk.command(read, len(data)) == (data, 0, 0)


@pytest.mark.parametrize(
    "command",
    [
        ten(o.READ_10, BLOCKS, 1),
        ten(o.READ_10, BLOCKS - 1, 2),
        sixteen(o.READ_16, (1 << 64) - 1, 1),
        bytes((o.READ_6, 0, 0x0F, 0xFF, 2, 0)),
        ten(o.VERIFY_10, BLOCKS, 1),
    ],
)
def test_blocks_beyond_the_end_are_out_of_range(command: bytes) -> None:
    disk = Disk()
    length = 0 if command[0] == o.VERIFY_10 else BLOCK
    assert disk.command(command, length) == (b"", length, 1)
    assert disk.sense() == (5, 0x21, 0)
    assert disk.sense() == (0, 0, 0)


def test_a_read_only_disk_is_not_written() -> None:
    disk = Disk(StorageDescription(BLOCK * 8, BLOCK, read_only=True))
    assert disk.command(ten(o.WRITE_10, 0, 1), data=bytes(BLOCK)) == (b"", BLOCK, 1)
    assert disk.sense() == (7, 0x27, 0)
    assert disk.requests() == []


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.ENODEV, errno.EBADMSG])
@pytest.mark.parametrize("writing", [False, True])
def test_the_images_error_is_the_commands(error: int, writing: bool) -> None:
    disk = Disk()
    disk.error = error
    if writing:
        _, _, status = disk.command(ten(o.WRITE_10, 0, 1), data=bytes(BLOCK))
    else:
        _, residue, status = disk.command(ten(o.READ_10, 0, 1), BLOCK)
        assert residue == BLOCK
    assert status == 1
    assert disk.sense() == sense_of(error, writing)
    disk.error = 0
    assert disk.command(READY)[2] == 0


def test_start_and_stop() -> None:
    disk = Disk()
    assert disk.command(bytes((o.PREVENT_ALLOW, 0, 0, 0, 1, 0)))[2] == 0
    assert disk.command(bytes((o.START_STOP_UNIT, 0, 0, 0, 2, 0)))[2] == 1
    assert disk.sense() == (5, 0x53, 2)
    assert disk.command(bytes((o.PREVENT_ALLOW, 0, 0, 0, 0, 0)))[2] == 0
    assert disk.command(bytes((o.START_STOP_UNIT, 0, 0, 0, 2, 0)))[2] == 0
    assert disk.command(READY)[2] == 1
    assert disk.sense() == (2, 4, 2)
    assert disk.command(INQUIRY, 36)[2] == 0
    assert disk.command(bytes((o.START_STOP_UNIT, 0, 0, 0, 1, 0)))[2] == 0
    assert disk.command(READY)[2] == 0


def test_other_commands_and_other_units_are_refused() -> None:
    disk = Disk()
    assert disk.command(bytes((0xC1,)))[2] == 1
    assert disk.sense() == (5, 0x20, 0)
    assert disk.command(INQUIRY, 36, unit=1) == (b"", 36, 1)
    assert disk.sense() == (5, 0x25, 0)
    assert disk.command(bytes((o.VERIFY_10, 2)) + bytes(8))[2] == 1
    assert disk.command(bytes((o.VERIFY_16,)) + bytes(15))[2] == 0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 5), st.integers(0, 255)), max_size=12))
def test_it_remembers_what_a_list_of_blocks_would(steps: list[tuple[bool, int, int, int]]) -> None:
    disk, blocks = Disk(StorageDescription(BLOCK * 16)), [bytes(BLOCK)] * 16
    for writing, first, most, value in steps:
        count = min(most, 16 - first)
        if writing:
            data = b"".join(bytes((value, i)) * (BLOCK // 2) for i in range(count))
            assert disk.command(ten(o.WRITE_10, first, count), data=data) == (b"", 0, 0)
            blocks[first : first + count] = [data[i * BLOCK : (i + 1) * BLOCK] for i in range(count)]
        else:
            expected = b"".join(blocks[first : first + count])
            assert disk.command(ten(o.READ_10, first, count), count * BLOCK) == (expected, 0, 0)
