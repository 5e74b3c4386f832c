"""The driver's side of the virtio MMIO transport: rings laid out in the fake context's memory, buffers put into them.

Lives here: what Linux's virtio_mmio and virtio_ring do, and a device that sends back what it gets.
Never here: processes, sockets, tests.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from devices.virtio import registers as r
from devices.virtio.buffers import BufferWriter, read_segments, total
from devices.virtio.model import VirtioModel
from devices.virtio.state import TransportState
from machine.message import BackendResult, DmaWrite
from machine.vmstate import vmstate
from tests.harness.fake_context import DirectCpu, FakeContext, TreatingCpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from devices.model import DeviceContext

MEMORY_BYTES: Final = 1 << 20
HEAP: Final = 0x4_0000
"""Where buffers begin; the rings are below."""
RING_AREA: Final = 0x1_0000
ALL: Final = r.STATUS_ACKNOWLEDGE | r.STATUS_DRIVER | r.STATUS_FEATURES_OK | r.STATUS_DRIVER_OK


@dataclass(slots=True)
class WritingContext(FakeContext):
    """Also remembers the stores into memory after the CPU node has seen them."""

    memory: bytearray = field(default_factory=lambda: bytearray(MEMORY_BYTES))
    writes: list[DmaWrite] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)

    def dma_write(self, address: int, data: bytes) -> None:
        """Store and remember."""
        self.writes.append(DmaWrite(address, data))
        FakeContext.dma_write(self, address, data)

    def output(self, data: bytes) -> BackendResult:
        """Remember what was offered."""
        self.outputs.append(data)
        return FakeContext.output(self, data)


class DriverQueue:
    """One queue as the driver has it."""

    def __init__(self, driver: Driver, index: int, size: int) -> None:
        base = RING_AREA * (index + 1)
        self.driver, self.index, self.size = driver, index, size
        self.desc, self.avail, self.used = base, base + 0x8000, base + 0xC000
        self._free = list(range(size - 1, -1, -1))
        self._chains: dict[int, list[int]] = {}
        self.available = 0
        self.seen = 0

    @property
    def free(self) -> int:
        """Descriptors that nobody has."""
        return len(self._free)

    def describe(self, index: int, address: int, length: int, flags: int = 0, following: int = 0) -> None:
        """Fill a descriptor of the table."""
        self.driver.poke(self.desc + index * r.DESC_BYTES, struct.pack("<QIHH", address, length, flags, following))

    def offer(self, head: int) -> None:
        """Make a chain available that somebody else has laid out."""
        self.driver.poke(self.avail + 4 + 2 * (self.available % self.size), struct.pack("<H", head))
        self.available = (self.available + 1) & 0xFFFF
        self.driver.poke(self.avail + 2, struct.pack("<H", self.available))

    def add(self, readable: Sequence[bytes] = (), writable: Sequence[int] = (), *, indirect: bool = False) -> int:
        """Lay out a chain in new memory and make it available; its head."""
        segments = [(self.driver.place(data), len(data), 0) for data in readable]
        segments += [(self.driver.allocate(size), size, r.DESC_WRITE) for size in writable]
        if indirect:
            head = self._free.pop()
            table = b"".join(
                struct.pack("<QIHH", a, n, flags | (r.DESC_NEXT if i + 1 < len(segments) else 0), i + 1)
                for i, (a, n, flags) in enumerate(segments)
            )
            self.describe(head, self.driver.place(table), len(table), r.DESC_INDIRECT)
            self._chains[head] = [head]
        else:
            indices = [self._free.pop() for _ in segments]
            for i, (address, length, flags) in enumerate(segments):
                more = i + 1 < len(segments)
                following = indices[i + 1] if more else 0
                self.describe(indices[i], address, length, flags | (r.DESC_NEXT if more else 0), following)
            head = indices[0]
            self._chains[head] = indices
        self.offer(head)
        return head

    def writable(self, head: int) -> list[tuple[int, int]]:
        """Where the writable part of a chain that is not indirect lies."""
        rows = [struct.unpack("<QIHH", self.driver.peek(self.desc + i * 16, 16)) for i in self._chains[head]]
        return [(address, length) for address, length, flags, _ in rows if flags & r.DESC_WRITE]

    def kick(self) -> None:
        """Notify the device, whatever it asked for."""
        self.driver.cpu.store(r.QUEUE_NOTIFY, self.index, 4)

    def wants_kick(self, before: int) -> bool:
        """vring_need_event: whether the device asked to hear of buffers made available since index `before`."""
        event = int.from_bytes(self.driver.peek(self.used + 4 + 8 * self.size, 2), "little")
        return (self.available - event - 1) & 0xFFFF < (self.available - before) & 0xFFFF

    def ask_interrupt_at(self, index: int) -> None:
        """used_event."""
        self.driver.poke(self.avail + 4 + 2 * self.size, struct.pack("<H", index & 0xFFFF))

    def returned(self) -> list[tuple[int, int]]:
        """(head, bytes written) of each chain that has come back since the last time."""
        index = int.from_bytes(self.driver.peek(self.used + 2, 2), "little")
        found = []
        while self.seen != index:
            row = self.driver.peek(self.used + 4 + 8 * (self.seen % self.size), 8)
            head, written = struct.unpack("<II", row)
            self._free += reversed(self._chains.pop(head, []))
            found.append((head, written))
            self.seen = (self.seen + 1) & 0xFFFF
        return found

    def filled(self) -> list[bytes]:
        """What the device has written into each chain that has come back, none of them indirect."""
        places = {head: self.writable(head) for head in self._chains}
        out = []
        for head, written in self.returned():
            data = b"".join(self.driver.peek(address, size) for address, size in places[head])
            out.append(data[:written])
        return out


class Driver:
    """A driver of one device, over a CPU node that treats registers as announced, or over one that only calls."""

    def __init__(self, model: VirtioModel, *, treating: bool = True) -> None:
        self.context = WritingContext()
        self.model = model
        self.cpu: DirectCpu = (TreatingCpu if treating else DirectCpu)(model, self.context)
        self.queues: list[DriverQueue] = []
        self._heap = HEAP
        self.cpu.reset()

    def load(self, offset: int, size: int = 4) -> int:
        """A register."""
        return self.cpu.load(offset, size)

    def store(self, offset: int, value: int, size: int = 4) -> None:
        """A register."""
        self.cpu.store(offset, value, size)

    def peek(self, address: int, size: int) -> bytes:
        """Guest memory."""
        return bytes(self.context.memory[address : address + size])

    def poke(self, address: int, data: bytes) -> None:
        """Guest memory."""
        self.context.memory[address : address + len(data)] = data

    def allocate(self, size: int) -> int:
        """New memory, just behind what was given out before; the heap goes round."""
        if self._heap + size > MEMORY_BYTES:
            self._heap = HEAP
        at = self._heap
        self._heap += size
        return at

    def place(self, data: bytes) -> int:
        """New memory with something in it."""
        at = self.allocate(len(data))
        self.poke(at, data)
        return at

    def status(self) -> int:
        """The status register."""
        return self.load(r.STATUS)

    def offered(self) -> int:
        """The device's features."""
        features = 0
        for half in (0, 1):
            self.store(r.DEVICE_FEATURES_SEL, half)
            features |= self.load(r.DEVICE_FEATURES) << 32 * half
        return features

    def negotiate(self, features: int) -> bool:
        """Up to FEATURES_OK; whether the device agrees."""
        self.store(r.STATUS, 0)
        self.store(r.STATUS, r.STATUS_ACKNOWLEDGE)
        self.store(r.STATUS, r.STATUS_ACKNOWLEDGE | r.STATUS_DRIVER)
        for half in (0, 1):
            self.store(r.DRIVER_FEATURES_SEL, half)
            self.store(r.DRIVER_FEATURES, features >> 32 * half & r.LOW)
        self.store(r.STATUS, ALL & ~r.STATUS_DRIVER_OK)
        return bool(self.status() & r.STATUS_FEATURES_OK)

    def set_up(self, index: int, size: int) -> DriverQueue:
        """Give the device a queue."""
        queue = DriverQueue(self, index, size)
        self.poke(queue.avail, bytes(6 + 2 * size))
        self.poke(queue.used, bytes(6 + 8 * size))
        self.store(r.QUEUE_SEL, index)
        assert self.load(r.QUEUE_READY) == 0
        assert size <= self.load(r.QUEUE_NUM_MAX)
        self.store(r.QUEUE_NUM, size)
        for low, high, address in (
            (r.QUEUE_DESC_LOW, r.QUEUE_DESC_HIGH, queue.desc),
            (r.QUEUE_DRIVER_LOW, r.QUEUE_DRIVER_HIGH, queue.avail),
            (r.QUEUE_DEVICE_LOW, r.QUEUE_DEVICE_HIGH, queue.used),
        ):
            self.store(low, address & r.LOW)
            self.store(high, address >> 32)
        self.store(r.QUEUE_READY, 1)
        return queue

    def start(self, features: int | None = None, sizes: Iterable[int] | None = None) -> None:
        """The whole way to DRIVER_OK, with all features the device offers if nothing else is said."""
        assert self.negotiate(self.offered() if features is None else features | r.F_VERSION_1)
        self.queues = [self.set_up(i, size) for i, size in enumerate(sizes or self.model.QUEUE_SIZES)]
        self.store(r.STATUS, ALL)
        assert self.status() == ALL

    def flush(self) -> None:
        """A sync point: what was gathered is told."""
        self.cpu.flush()

    def interrupted(self) -> int:
        """What the interrupt line stands for; acknowledged as Linux does it."""
        if not self.cpu.line():
            return 0
        status = self.load(r.INTERRUPT_STATUS)
        self.store(r.INTERRUPT_ACK, status)
        assert not self.cpu.line()
        return status


@vmstate("test-virtio-echo", 1)
@dataclass(slots=True)
class EchoState:
    """The transport, and how many bytes went round."""

    transport: TransportState = field(default_factory=TransportState)
    echoed: int = 0


class Echo(VirtioModel):
    """Each buffer's readable part is written into its writable part."""

    __slots__ = ()

    DEVICE_ID = 42
    FEATURES = 1 << 3 | 1 << 40
    QUEUE_SIZES: ClassVar[tuple[int, ...]] = (16, 4)

    state: EchoState

    def __init__(self) -> None:
        super().__init__(EchoState())

    def fresh_state(self) -> EchoState:
        """Power-on."""
        return EchoState()

    def config(self) -> bytes:
        """The count."""
        return self.state.echoed.to_bytes(8, "little")

    def serve(self, index: int, context: DeviceContext) -> None:
        """Copy."""
        ring = self.open_ring(index, context)
        writer = BufferWriter(context)
        while (chain := ring.take()) is not None:
            data = read_segments(context, chain.readable, min(total(chain.readable), 4096))
            written = writer.fill(chain.writable, data)
            ring.give_back(chain, written)
            self.state.echoed += written
            if written:
                self.config_changed()
        writer.flush()
        self.close_ring(ring)
