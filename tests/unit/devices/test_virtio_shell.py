"""A virtio device in its own process reads its own stores before the CPU node has made them."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from devices.nic.frames import pack_frame
from devices.virtio import registers as r
from machine.board import MIB, RAM_BASE, DeviceSlot
from machine.icount import CPU
from machine.message import Access, AccessKind, DmaWrite, Done, HostEvent, HostInput, MmioAccess, Reset
from tests.harness.fake_broker import FakeBroker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.message import Message

DESC, AVAIL, USED, BUFFERS = 0x1000, 0x2000, 0x3000, 0x4000
SIZE = 8
LIVE = 0x0F


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = os.memfd_create("memory")
    os.ftruncate(descriptor, 16 * MIB)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[FakeBroker]:
    node = FakeBroker(tmp_path, DeviceSlot("dev0", "nic", 0x1000_1000, irq=1))
    yield node
    node.close()


def store(offset: int, value: int) -> Access:
    return Access(AccessKind.WRITE, offset, 4, value)


def start() -> MmioAccess:
    """A driver's way to a receive queue of eight buffers, in one message."""
    return MmioAccess(
        (
            store(r.STATUS, 3),
            store(r.DRIVER_FEATURES_SEL, 1),
            store(r.DRIVER_FEATURES, r.F_VERSION_1 >> 32),
            store(r.STATUS, LIVE & ~r.STATUS_DRIVER_OK),
            store(r.QUEUE_NUM, SIZE),
            store(r.QUEUE_DESC_LOW, RAM_BASE + DESC),
            store(r.QUEUE_DRIVER_LOW, RAM_BASE + AVAIL),
            store(r.QUEUE_DEVICE_LOW, RAM_BASE + USED),
            store(r.QUEUE_READY, 1),
            store(r.STATUS, LIVE),
        )
    )


def fill_rings(memory: int) -> None:
    for i in range(SIZE):
        row = struct.pack("<QIHH", RAM_BASE + BUFFERS + 2048 * i, 2048, r.DESC_WRITE, 0)
        os.pwrite(memory, row, DESC + 16 * i)
    os.pwrite(memory, struct.pack(f"<HH{SIZE}H", 0, SIZE, *range(SIZE)), AVAIL)


def used_ring(stores: list[Message]) -> tuple[int, list[int]]:
    """Index and heads, as the CPU node has them after these stores."""
    ring = bytearray(4 + 8 * SIZE)
    for message in stores:
        if isinstance(message, DmaWrite) and message.address < RAM_BASE + USED + len(ring):
            at = message.address - RAM_BASE - USED
            if at >= 0:
                ring[at : at + len(message.data)] = message.data
    index = int.from_bytes(ring[2:4], "little")
    return index, [head for head, written in struct.iter_unpack("<II", ring[4:]) if written]


def test_inputs_at_one_sync_point_do_not_undo_each_others_stores(broker: FakeBroker, memory: int) -> None:
    fill_rings(memory)
    broker.start(memory_path=f"/proc/{os.getpid()}/fd/{memory}")
    broker.ask(Reset())
    assert broker.ask(start(), 100, CPU)[-1] == Done()
    # The CPU node has the word only when all inputs have been delivered: nothing is stored in between.
    said: list[Message] = []
    for i in range(SIZE):
        said += broker.ask(HostInput(HostEvent.DATA, pack_frame(bytes([i]) * 60)), 200)
    assert used_ring(said) == (SIZE, list(range(SIZE)))


def test_what_the_guest_has_stored_since_then_counts(broker: FakeBroker, memory: int) -> None:
    fill_rings(memory)
    broker.start(memory_path=f"/proc/{os.getpid()}/fd/{memory}")
    broker.ask(Reset())
    broker.ask(start(), 100, CPU)
    broker.ask(HostInput(HostEvent.DATA, pack_frame(bytes(60))), 200)
    # The first entry, which the device writes again with the second: index and both entries are one store.
    os.pwrite(memory, struct.pack("<II", 0, 0xEEEE), USED + 4)
    said = broker.ask(HostInput(HostEvent.DATA, pack_frame(bytes(60))), 201)
    assert DmaWrite(RAM_BASE + USED + 2, struct.pack("<HIIII", 2, 0, 0xEEEE, 1, 72)) in said
