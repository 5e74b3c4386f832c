"""A USB disk for tests: its driver by the Bulk-Only Transport, and an image in memory that completes requests."""

from __future__ import annotations

import struct
from typing import Final

from devices.usb.contexts import EndpointKind
from devices.usb.functions import opcodes as o
from devices.usb.messages import (
    Kind,
    Plugged,
    StorageCompletion,
    StorageDescription,
    StorageOperation,
    StorageRequest,
    decode_storage_request,
    encode_storage_completion,
)
from devices.usb.trb import CHAIN, INTERRUPT_ON_COMPLETION, Completion, TrbType
from tests.harness.xhci_driver import Driver

BLOCK: Final = 512
BLOCKS: Final = 4096
IN: Final = 3
OUT: Final = 4
SUCCESS: Final = Completion.SUCCESS
SHORT: Final = Completion.SHORT_PACKET
STALL: Final = Completion.STALL
TOO_LARGE_TO_COPY: Final = 1 << 16
Answer = tuple[bytes, int, int]
"""Data, residue, status."""


class Disk:
    """A disk at port 1 with the host's driver, and an image in memory that completes what it is asked for."""

    def __init__(self, description: StorageDescription | None = None) -> None:
        self.driver = Driver()
        self.image: dict[int, bytes] = {}
        self.error = 0
        self._scratch = self.driver.allocate(TOO_LARGE_TO_COPY)
        self._tag = 100
        self.appear(description or StorageDescription(BLOCK * BLOCKS))
        self.configure()

    def appear(self, description: StorageDescription) -> None:
        """It is plugged in."""
        self.driver.plug(Plugged(1, Kind.STORAGE, description))

    def configure(self) -> None:
        """Bring it up."""
        self.slot = self.driver.bring_up(1)
        assert self.driver.control(self.slot, 0, 9, 1)[0] is SUCCESS
        endpoints = {IN: (EndpointKind.BULK_IN, 1024), OUT: (EndpointKind.BULK_OUT, 1024)}
        assert self.driver.configure(self.slot, endpoints).code is SUCCESS

    def requests(self) -> list[StorageRequest]:
        """What the image has been asked since the last look."""
        found = [decode_storage_request(data) for data in self.driver.context.outputs]
        self.driver.context.outputs.clear()
        return found

    def serve(self) -> list[StorageRequest]:
        """Complete requests until there are no more; those that were."""
        served: list[StorageRequest] = []
        while found := self.requests():
            for request in found:
                self.driver.say(1, encode_storage_completion(self.carry_out(request)))
            served += found
        return served

    def carry_out(self, request: StorageRequest) -> StorageCompletion:
        """What the image makes of a request."""
        if self.error:
            return StorageCompletion(request.tag, self.error)
        blocks = range(request.first_block, request.first_block + request.blocks)
        if request.operation is StorageOperation.WRITE:
            for i, block in enumerate(blocks):
                self.image[block] = request.data[i * BLOCK : (i + 1) * BLOCK]
            return StorageCompletion(request.tag)
        return StorageCompletion(request.tag, 0, b"".join(self.image.get(block, bytes(BLOCK)) for block in blocks))

    def queue(self, number: int, size: int, data: bytes = b"") -> int:
        """A transfer of that size; large ones use the same 64 KiB again and again, and blocks of that size."""
        if size <= TOO_LARGE_TO_COPY:
            return self.driver.queue(self.slot, number, size, data=data)
        ring = self.driver.rings[self.slot, number]
        while size > 0:
            last = size <= TOO_LARGE_TO_COPY
            flags = INTERRUPT_ON_COMPLETION if last else CHAIN
            ring.put(self._scratch, min(size, TOO_LARGE_TO_COPY), TrbType.NORMAL << 10 | flags)
            size -= TOO_LARGE_TO_COPY
        self.driver.ring(self.slot, number)
        return self._scratch

    def send_command(self, command: bytes, length: int, inbound: bool, unit: int = 0) -> None:
        """The command stage."""
        self._tag += 1
        block = struct.pack("<4sIIBBB", b"USBC", self._tag, length, inbound << 7, unit, len(command))
        self.driver.queue(self.slot, OUT, data=block + command.ljust(16, b"\0"))
        assert self.driver.transfer_events(self.slot, OUT) == [(SUCCESS, 0)]

    def end(self, number: int) -> list[tuple[Completion, int]]:
        """The events of an endpoint once the image has done its part; a halt is cleared."""
        self.serve()
        events = self.driver.transfer_events(self.slot, number)
        if events and events[-1][0] is STALL:
            self.driver.restart(self.slot, number)
            address = 0x81 if number == IN else 2
            assert self.driver.control(self.slot, 2, 1, 0, address)[0] is SUCCESS
        return events

    def status(self) -> tuple[int, int]:
        """The status stage: residue and status."""
        buffer = self.driver.queue(self.slot, IN, 13)
        events = self.end(IN)
        if events[-1][0] is STALL:
            buffer = self.driver.queue(self.slot, IN, 13)
            events = self.end(IN)
        assert events == [(SUCCESS, 0)]
        signature, tag, residue, status = struct.unpack("<4sIIB", self.driver.read(buffer, 13))
        assert (signature, tag) == (b"USBS", self._tag)
        return residue, status

    def command(self, command: bytes, length: int = 0, data: bytes = b"", unit: int = 0) -> Answer:
        """A whole command: IN of at most `length` bytes, or OUT of `data`."""
        self.send_command(command, length or len(data), not data, unit)
        came = b""
        if length or data:
            number = OUT if data else IN
            buffer = self.queue(number, length or len(data), data)
            ((code, left),) = self.end(number)
            if code in (SUCCESS, SHORT) and length:
                came = self.driver.read(buffer, length - left)
        return came, *self.status()

    def sense(self) -> tuple[int, int, int]:
        """REQUEST SENSE."""
        data, _, status = self.command(bytes((o.REQUEST_SENSE, 0, 0, 0, 18, 0)), 18)
        assert (len(data), data[0], status) == (18, 0x70, 0)
        return data[2], data[12], data[13]


def ten(operation: int, block: int, blocks: int) -> bytes:
    """A command of ten bytes."""
    return struct.pack(">BBIBHB", operation, 0, block, 0, blocks, 0)


def sixteen(operation: int, block: int, blocks: int) -> bytes:
    """A command of sixteen bytes."""
    return struct.pack(">BBQIBB", operation, 0, block, blocks, 0, 0)
