"""The door of a model, as the shell builds it: what is asked for becomes a message at once, in that order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.icount import CPU
from machine.message import (
    BackendResult,
    ClockRead,
    ClockReading,
    DmaWrite,
    Entropy,
    EntropyRead,
    FifoData,
    IrqLevel,
    Register,
    RegisterMap,
    TimerArm,
    TimerCancel,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.gate import Gate
    from devices.link import Link
    from devices.memory import Memory


class ShellContext:
    """devices/model.py, DeviceContext, over the wire."""

    def __init__(self, link: Link, gate: Gate, memory: Memory) -> None:
        self._link = link
        self._gate = gate
        self._memory = memory

    @property
    def icount(self) -> int:
        """Of the message that is being handled."""
        return self._link.icount

    def set_irq(self, level: bool) -> None:
        """Drive the interrupt line."""
        self._link.say(IrqLevel(level), CPU)

    def set_registers(self, registers: Sequence[Register]) -> None:
        """Announce register treatment."""
        self._link.say(RegisterMap(tuple(registers)), CPU)

    def push_fifo(self, data: bytes) -> None:
        """Fill the CPU node's queue."""
        self._link.say(FifoData(data), CPU)

    def output(self, data: bytes) -> BackendResult:
        """Give bytes to the backend through the gate."""
        return self._gate.output(data)

    def read_clock(self) -> int:
        """Ask the broker, the only reader of the host's clock."""
        return self._link.ask(ClockRead(), ClockReading).unix_ns

    def read_entropy(self, size: int) -> bytes:
        """Ask the broker, the only source of entropy."""
        return self._link.ask(EntropyRead(size), Entropy).data

    def arm_timer(self, timer: int, delay_ns: int) -> None:
        """Arm a timer of the CPU node."""
        self._link.say(TimerArm(timer, delay_ns), CPU)

    def cancel_timer(self, timer: int) -> None:
        """Disarm it."""
        self._link.say(TimerCancel(timer), CPU)

    def dma_read(self, address: int, size: int) -> bytes:
        """Read guest memory, this message's own writes included."""
        return self._memory.read(address, size)

    def dma_write(self, address: int, data: bytes) -> None:
        """Have the CPU node store the part that lies in RAM."""
        start, inside = self._memory.inside(address, data)
        if inside:
            self._memory.written(start, inside)
            self._link.say(DmaWrite(start, inside), CPU)
