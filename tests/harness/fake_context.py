"""A device's surroundings in memory: a context that remembers what was asked, and the CPU node's side of it.

Lives here: the register treatment rules of docs/devices.md, once more and in short.
Never here: processes, sockets, tests.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from machine.message import (
    Access,
    AccessKind,
    BackendResult,
    DmaWrite,
    EntropyRead,
    FifoData,
    HostEvent,
    HostOutput,
    IrqLevel,
    ReadKind,
    Register,
    RegisterMap,
    TimerArm,
    TimerCancel,
    WriteKind,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import DeviceModel

Effect = IrqLevel | RegisterMap | FifoData | DmaWrite | TimerArm | TimerCancel | HostOutput | EntropyRead


@dataclass(slots=True)
class FakeContext:
    """devices/model.py, DeviceContext: every effect in order, answers as set by the test."""

    effects: list[Effect] = field(default_factory=list)
    takes: int | None = None
    """How many more bytes the backend takes; None is all."""
    broken: bool = False
    """The backend answers EPIPE."""
    clock_ns: int = 1_700_000_000_000_000_000
    clock_step_ns: int = 0
    clock_reads: int = 0
    entropy_bytes: int = 0
    """Random bytes asked for so far."""
    memory: bytearray = field(default_factory=lambda: bytearray(4096))
    written: bytearray = field(default_factory=bytearray)
    """What the backend has taken."""

    icount: int = 0

    def set_irq(self, level: bool) -> None:
        """Remember."""
        self.effects.append(IrqLevel(level))

    def set_registers(self, registers: Sequence[Register]) -> None:
        """Remember."""
        self.effects.append(RegisterMap(tuple(registers)))

    def push_fifo(self, data: bytes) -> None:
        """Remember."""
        self.effects.append(FifoData(data))

    def output(self, data: bytes) -> BackendResult:
        """Take as much as the test allows."""
        self.effects.append(HostOutput(data))
        if self.broken:
            return BackendResult(0, errno.EPIPE)
        count = len(data) if self.takes is None else min(self.takes, len(data))
        if self.takes is not None:
            self.takes -= count
        self.written += data[:count]
        return BackendResult(count)

    def read_clock(self) -> int:
        """A clock that goes on by `clock_step_ns` a reading."""
        self.clock_reads += 1
        self.clock_ns += self.clock_step_ns
        return self.clock_ns

    def read_entropy(self, size: int) -> bytes:
        """Bytes that say how many were asked for before."""
        self.effects.append(EntropyRead(size))
        self.entropy_bytes += size
        return hashlib.shake_256(self.entropy_bytes.to_bytes(8, "little")).digest(size)

    def arm_timer(self, timer: int, delay_ns: int) -> None:
        """Remember."""
        self.effects.append(TimerArm(timer, delay_ns))

    def cancel_timer(self, timer: int) -> None:
        """Remember."""
        self.effects.append(TimerCancel(timer))

    def dma_read(self, address: int, size: int) -> bytes:
        """Memory starts at address 0 here."""
        return bytes(self.memory[address : address + size]).ljust(size, b"\0")

    def dma_write(self, address: int, data: bytes) -> None:
        """Store and remember."""
        self.effects.append(DmaWrite(address, data))
        inside = data[: max(0, len(self.memory) - address)]
        self.memory[address : address + len(inside)] = inside


class DirectCpu:
    """A CPU node without register treatment: every access is a call of its own."""

    def __init__(self, model: DeviceModel, context: FakeContext | None = None) -> None:
        self.model = model
        self.context = context or FakeContext()
        self._level = False
        self.calls = 0
        self.registers: dict[int, Register] = {}
        self.raised = False

    def reset(self) -> None:
        """Power-on."""
        self.model.reset(self.context)
        self.settle()

    def load(self, offset: int, size: int = 1) -> int:
        """A guest's load."""
        value = self.model.read(offset, size, self.context)
        self.calls += 1
        self.settle()
        return value & (1 << 8 * size) - 1

    def store(self, offset: int, value: int, size: int = 1) -> None:
        """A guest's store."""
        # What was announced holds for the interrupt line even where nothing is gathered.
        self._posts(offset, value)
        self.raised = False
        self.model.write(offset, size, value, self.context)
        self.calls += 1
        self.settle()

    def host_input(self, event: HostEvent, data: bytes = b"") -> None:
        """The broker delivers, at a sync point."""
        self.model.host_input(event, data, self.context)
        self.settle()

    def timer_expired(self, timer: int) -> None:
        """A timer has run out."""
        self.model.timer_expired(timer, self.context)
        self.settle()

    def line(self) -> bool:
        """The level of the device's interrupt line."""
        return self._level

    def flush(self) -> None:
        """Nothing is ever gathered."""

    def settle(self) -> None:
        """The end of a message."""
        self.model.settle(self.context)
        self._apply()

    def _posts(self, offset: int, value: int) -> bool:
        """Whether a store is gathered; latches it and raises the line as was announced."""
        reg = self.registers.get(offset, Register(offset))
        asked = value & reg.call_mask or (self.raised and reg.raise_mask)
        if reg.write is not WriteKind.POSTED or asked:
            return False
        if value & ~reg.value & reg.raise_mask:
            self.raised = self._level = True
        latched = reg.value & ~reg.latch_mask | value & reg.latch_mask
        self.registers[offset] = replace(reg, value=latched)
        return True

    def _apply(self) -> None:
        for effect in self.context.effects:
            match effect:
                case IrqLevel(level):
                    self._level = level
                case RegisterMap(registers):
                    self.registers |= {reg.offset: reg for reg in registers}
                case _:
                    pass
        self.context.effects.clear()


class TreatingCpu(DirectCpu):
    """A CPU node that follows the announced treatment: shadows, a queue, posted batches."""

    def __init__(self, model: DeviceModel, context: FakeContext | None = None) -> None:
        super().__init__(model, context)
        self.queue = bytearray()
        self.batch: list[Access] = []

    def load(self, offset: int, size: int = 1) -> int:
        """Answer from the copy or the queue where that is allowed, else call."""
        reg = self.registers.get(offset, Register(offset))
        if reg.read is ReadKind.SHADOW:
            value = reg.value & ~reg.fifo_mask | (reg.fifo_mask if self.queue else 0)
            return value & (1 << 8 * size) - 1
        if reg.read is ReadKind.FIFO and self.queue:
            return self._pop(offset, size)
        return self._deliver(Access(AccessKind.READ, offset, size)) & (1 << 8 * size) - 1

    def store(self, offset: int, value: int, size: int = 1) -> None:
        """Gather what is posted, else call."""
        access = Access(AccessKind.WRITE, offset, size, value)
        if self._posts(offset, value):
            self.batch.append(access)
        else:
            self._deliver(access)

    def host_input(self, event: HostEvent, data: bytes = b"") -> None:
        """What was gathered goes first."""
        self.flush()
        super().host_input(event, data)

    def timer_expired(self, timer: int) -> None:
        """What was gathered goes first."""
        self.flush()
        super().timer_expired(timer)

    def flush(self) -> None:
        """A sync point: send what was gathered."""
        if self.batch:
            self._deliver()

    def _pop(self, offset: int, size: int) -> int:
        value = self.queue.pop(0)
        last = self.batch[-1] if self.batch else None
        if last is not None and (last.kind, last.offset, last.size) == (AccessKind.POP, offset, size):
            self.batch[-1] = Access(AccessKind.POP, offset, size, last.value + 1)
        else:
            self.batch.append(Access(AccessKind.POP, offset, size, 1))
        if not self.queue:
            self._deliver()
        return value

    def _deliver(self, last: Access | None = None) -> int:
        accesses = [*self.batch, last] if last is not None else self.batch
        self.batch = []
        self.raised = False
        value = 0
        for access in accesses:
            match access.kind:
                case AccessKind.WRITE:
                    self.model.write(access.offset, access.size, access.value, self.context)
                case AccessKind.POP:
                    self.model.popped(access.offset, access.value, self.context)
                case AccessKind.READ:
                    value = self.model.read(access.offset, access.size, self.context)
        self.calls += 1
        self.settle()
        return value

    def _apply(self) -> None:
        for effect in self.context.effects:
            match effect:
                case RegisterMap(registers):
                    # A queue's register that is a queue's no more takes the queue with it.
                    if any(self._voids(reg) for reg in registers):
                        self.queue.clear()
                    self.registers |= {reg.offset: reg for reg in registers}
                case FifoData(data):
                    self.queue += data
                case _:
                    pass
        super()._apply()

    def _voids(self, reg: Register) -> bool:
        old = self.registers.get(reg.offset)
        return old is not None and old.read is ReadKind.FIFO and reg.read is not ReadKind.FIFO
