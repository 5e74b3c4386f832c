"""The disk's Bulk-Only Transport: stages that wait for the image, the thirteen cases, halts, reset recovery."""

from __future__ import annotations

import errno
import struct

import pytest

from devices.usb.functions import opcodes as o
from devices.usb.functions.sense import sense_of
from devices.usb.messages import (
    STORAGE_REQUEST_BYTES,
    Kind,
    Plugged,
    StorageCompletion,
    StorageDescription,
    StorageOperation,
    encode_storage_completion,
)
from devices.usb.transfers import SILENCE
from devices.usb.trb import Completion
from tests.harness.usb_disk import BLOCK, IN, OUT, SHORT, STALL, SUCCESS, Disk, ten

INQUIRY = bytes((o.INQUIRY, 0, 0, 0, 36, 0))
READY = bytes(6)


def test_the_configuration_is_a_superspeed_disk() -> None:
    disk = Disk()
    _, data = disk.driver.control(disk.slot, 0x80, 6, 0x200, 0, 255)
    assert struct.unpack_from("<H", data, 2) == (len(data),)
    assert data[9 + 5 : 9 + 8] == bytes((8, 6, 0x50))
    _, bos = disk.driver.control(disk.slot, 0x80, 6, 0xF00, 0, 255)
    assert struct.unpack_from("<H", bos, 2) == (len(bos),)
    assert disk.driver.control(disk.slot, 0xA1, 0xFE, 0, 0, 1) == (SUCCESS, b"\0")


def test_a_read_waits_for_the_image_and_ends_with_its_completion() -> None:
    disk = Disk()
    disk.send_command(ten(o.READ_10, 3, 1), BLOCK, inbound=True)
    buffer = disk.driver.queue(disk.slot, IN, BLOCK)
    (request,) = disk.requests()
    assert (request.operation, request.first_block, request.blocks) == (StorageOperation.READ, 3, 1)
    assert disk.driver.transfer_events(disk.slot, IN) == []
    disk.driver.say(1, encode_storage_completion(StorageCompletion(request.tag + 1, 0, b"?" * BLOCK)))
    assert disk.driver.transfer_events(disk.slot, IN) == []
    disk.driver.say(1, encode_storage_completion(StorageCompletion(request.tag, 0, b"!" * BLOCK)))
    assert disk.driver.transfer_events(disk.slot, IN) == [(SUCCESS, 0)]
    assert disk.driver.read(buffer, BLOCK) == b"!" * BLOCK
    assert disk.status() == (0, 0)


@pytest.mark.parametrize("operation", [o.READ_10, o.WRITE_10])
def test_long_commands_are_several_requests(operation: int) -> None:
    disk = Disk()
    blocks = 3 * STORAGE_REQUEST_BYTES // BLOCK + 5
    disk.send_command(ten(operation, 10, blocks), blocks * BLOCK, inbound=operation == o.READ_10)
    number = IN if operation == o.READ_10 else OUT
    disk.queue(number, blocks * BLOCK)
    served = disk.serve()
    assert [(request.first_block, request.blocks) for request in served] == [
        (10, 256),
        (266, 256),
        (522, 256),
        (778, 5),
    ]
    assert disk.end(number) == [(SUCCESS, 0)]
    assert disk.status() == (0, 0)


def test_a_flush_is_waited_for() -> None:
    disk = Disk()
    disk.send_command(bytes((o.SYNCHRONIZE_CACHE_10,)) + bytes(9), 0, inbound=False)
    disk.driver.queue(disk.slot, IN, 13)
    assert disk.driver.transfer_events(disk.slot, IN) == []
    assert [request.operation for request in disk.serve()] == [StorageOperation.FLUSH]
    assert disk.driver.transfer_events(disk.slot, IN) == [(SUCCESS, 0)]


def test_an_image_that_takes_nothing_or_too_little_has_failed() -> None:
    disk = Disk()
    disk.driver.context.broken = True
    assert disk.command(ten(o.READ_10, 0, 1), BLOCK)[2] == 1
    disk.driver.context.broken = False
    assert disk.sense() == sense_of(errno.EPIPE, writing=False)
    disk.send_command(ten(o.READ_10, 0, 2), 2 * BLOCK, inbound=True)
    (request,) = disk.requests()
    disk.driver.say(1, encode_storage_completion(StorageCompletion(request.tag, 0, bytes(BLOCK))))
    disk.driver.queue(disk.slot, IN, 2 * BLOCK)
    assert disk.end(IN)[0][0] is STALL
    assert disk.status()[1] == 1
    assert disk.sense() == (3, 0x11, 0)


def test_an_error_in_the_middle_of_a_long_write_ends_it() -> None:
    disk = Disk()
    size = 4 * STORAGE_REQUEST_BYTES
    disk.send_command(ten(o.WRITE_10, 0, size // BLOCK), size, inbound=False)
    disk.queue(OUT, size)
    (first,) = disk.requests()
    disk.driver.say(1, encode_storage_completion(StorageCompletion(first.tag)))
    (second,) = disk.requests()
    disk.driver.say(1, encode_storage_completion(StorageCompletion(second.tag, errno.ENOSPC)))
    assert disk.requests() == []
    assert disk.end(OUT)[-1][0] is STALL
    residue, status = disk.status()
    assert (residue, status) == (STORAGE_REQUEST_BYTES, 1)
    assert disk.sense() == (7, 0x27, 7)


@pytest.mark.parametrize(
    ("case", "command", "length", "inbound", "expected"),
    [
        (2, INQUIRY, 0, True, (0, 2)),
        (3, ten(o.WRITE_10, 0, 1), 0, False, (0, 2)),
        (4, READY, 20, True, (20, 0)),
        (7, ten(o.READ_10, 0, 2), BLOCK, True, (BLOCK, 2)),
        (8, ten(o.WRITE_10, 0, 1), BLOCK, True, (BLOCK, 2)),
        (9, READY, 20, False, (20, 0)),
        (10, INQUIRY, 36, False, (36, 2)),
        (13, ten(o.WRITE_10, 0, 2), BLOCK, False, (BLOCK, 2)),
    ],
)
def test_host_and_disk_that_disagree_come_to_an_end(
    case: int, command: bytes, length: int, inbound: bool, expected: tuple[int, int]
) -> None:
    disk = Disk()
    disk.send_command(command, length, inbound)
    if length:
        number = IN if inbound else OUT
        disk.driver.queue(disk.slot, number, length)
        assert disk.end(number)[0][0] is STALL
    assert disk.status() == expected
    assert disk.requests() == []
    assert disk.command(READY)[2] == 0


def test_a_host_that_wants_to_write_more_than_the_command_takes_is_stalled_behind_it() -> None:
    disk = Disk()
    disk.send_command(ten(o.WRITE_10, 0, 1), 2 * BLOCK, inbound=False)
    disk.driver.queue(disk.slot, OUT, 2 * BLOCK)
    assert disk.end(OUT) == [(STALL, BLOCK)]
    assert disk.status() == (BLOCK, 0)
    assert disk.image == {0: bytes(BLOCK)}


def test_a_host_that_wants_to_read_more_gets_a_short_packet() -> None:
    disk = Disk()
    disk.send_command(ten(o.READ_10, 0, 1), 3 * BLOCK, inbound=True)
    for _ in range(2):
        disk.driver.queue(disk.slot, IN, BLOCK)
    assert disk.end(IN) == [(SUCCESS, 0), (SHORT, BLOCK)]
    assert disk.status() == (2 * BLOCK, 0)


@pytest.mark.parametrize("block", [b"USBC", b"USBX" + bytes(10) + b"\1" + bytes(16), b"USBC" + bytes(27), bytes(32)])
def test_an_invalid_command_block_is_cured_by_reset_recovery_alone(block: bytes) -> None:
    disk = Disk()
    disk.driver.queue(disk.slot, OUT, data=block)
    assert disk.end(OUT)[0][0] is STALL
    disk.driver.queue(disk.slot, OUT, data=bytes(31))
    assert disk.end(OUT)[0][0] is STALL
    disk.driver.queue(disk.slot, IN, 13)
    assert disk.end(IN)[0][0] is STALL
    assert disk.driver.control(disk.slot, 0x21, 0xFF)[0] is SUCCESS
    for address in (0x81, 2):
        assert disk.driver.control(disk.slot, 2, 1, 0, address)[0] is SUCCESS
    assert disk.command(READY)[2] == 0


def test_a_reset_under_way_forgets_the_command_and_its_late_completion() -> None:
    disk = Disk()
    disk.send_command(ten(o.READ_10, 0, 1), BLOCK, inbound=True)
    (old,) = disk.requests()
    assert disk.driver.control(disk.slot, 0x21, 0xFF)[0] is SUCCESS
    disk.send_command(ten(o.READ_10, 1, 1), BLOCK, inbound=True)
    buffer = disk.driver.queue(disk.slot, IN, BLOCK)
    disk.driver.say(1, encode_storage_completion(StorageCompletion(old.tag, 0, b"o" * BLOCK)))
    assert disk.driver.transfer_events(disk.slot, IN) == []
    disk.image[1] = b"n" * BLOCK
    assert disk.end(IN) == [(SUCCESS, 0)]
    assert disk.driver.read(buffer, BLOCK) == b"n" * BLOCK


def test_pulling_it_out_under_way_fails_the_transfer_and_its_completion_is_nobodys() -> None:
    disk = Disk()
    disk.send_command(ten(o.READ_10, 0, 1), BLOCK, inbound=True)
    disk.driver.queue(disk.slot, IN, BLOCK)
    (old,) = disk.requests()
    disk.driver.unplug(1)
    disk.driver.expire(SILENCE)
    assert disk.driver.transfer_events(disk.slot, IN) == [(Completion.TRANSACTION_ERROR, BLOCK)]
    disk.driver.plug(Plugged(1, Kind.STORAGE, StorageDescription(BLOCK)))
    disk.driver.say(1, encode_storage_completion(StorageCompletion(old.tag, 0, bytes(BLOCK))))
    assert disk.driver.model.state.sockets[0].storage[0].data == b""
    assert disk.driver.model.state.sockets[0].last_tag == old.tag
