"""Everything the CPU node remembers, as declared state; guest memory goes by its own digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from machine import vmstate
from machine.vmstate import vmstate as declare

if TYPE_CHECKING:
    from cpu_node.bus import Bus
    from cpu_node.engine import Cpu
    from cpu_node.memory import GuestMemory


@declare("window", 1)
@dataclass(slots=True)
class WindowState:
    """One register window: treatment of its registers, its queue, what was gathered for its device."""

    registers: tuple[tuple[int, int, int, int, int, int, int, int], ...]
    queue: bytes
    gathered: tuple[tuple[int, int, int, int, bytes], ...]
    raised: bool


@declare("cpu", 1)
@dataclass(slots=True)
class CpuState:
    """The CPU without its memory.  `platform` and `timers` are canonical bytes of their own states."""

    icount: int
    idle_ns: int
    posted_at: int
    registers: tuple[int, ...]
    windows: tuple[WindowState, ...]
    platform: bytes
    timers: bytes


def registers_digest(cpu: Cpu) -> bytes:
    """SHA-256 over the instruction count, the idle time and every register."""
    values = (cpu.native.icount, cpu.native.idle_ns, *cpu.platform.registers())
    return hashlib.sha256(repr(values).encode()).digest()


def capture(cpu: Cpu, bus: Bus) -> CpuState:
    """The CPU's state where it stands."""
    native = cpu.native
    windows = []
    for number in range(len(cpu.windows)):
        registers, queue, gathered, raised = native.window_state(number)
        windows.append(WindowState(tuple(registers), queue, tuple(gathered), raised))
    return CpuState(
        native.icount,
        native.idle_ns,
        native.posted_at,
        cpu.platform.registers(),
        tuple(windows),
        vmstate.encode(cpu.platform.state),
        vmstate.encode(bus.timers.state),
    )


def whole_digest(cpu: Cpu, bus: Bus, memory: GuestMemory) -> bytes:
    """SHA-256 over the canonical state and the memory's digest."""
    return hashlib.sha256(vmstate.encode(capture(cpu, bus)) + memory.digest()).digest()
