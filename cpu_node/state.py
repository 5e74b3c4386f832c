"""Everything the CPU node remembers, as declared state; guest memory goes by its own digest, or by pages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from machine import vmstate
from machine.bounds import U64, Within
from machine.errors import StateError
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


@declare("cpu-loop", 1)
@dataclass(slots=True)
class LoopState:
    """Where the CPU's loop stands: at a sync point with nothing dealt with, or `idle` with the guest asleep there.

    `ran_from` is the icount that the engine last ran on from; in the middle of a sleep it is the sleep's own, since who
    goes on from there does not stand in front of what was dealt with there.  `next_digest` is that of the next digest.
    """

    ran_from: U64 = 0
    next_digest: U64 = 0
    idle: bool = False


UNKNOWN_FLAGS: Final = -1
"""The floating-point exceptions of a state that does not tell them."""


@declare("cpu-node", 1)
@dataclass(slots=True)
class NodeState1:
    """What version 1 said: as `NodeState`, but not which floating-point exceptions have accrued."""

    icount: U64
    idle_ns: U64
    posted_at: U64
    engine: bytes
    windows: tuple[WindowState, ...]
    platform: bytes
    timers: bytes
    loop: LoopState


def _lift1(old: NodeState1) -> NodeState:
    return NodeState(**vmstate.kept(old), float_flags=UNKNOWN_FLAGS)


@declare("cpu-node", 2, before=(NodeState1, _lift1))
@dataclass(slots=True)
class NodeState(NodeState1):
    """All of the CPU's process but memory.  `engine` is the engine's own bytes, registers and reservation in them.

    `float_flags` are the accrued exceptions of floating-point arithmetic, which the engine's bytes do not have.
    """

    float_flags: Annotated[int, Within(UNKNOWN_FLAGS, (1 << 32) - 1)]


def registers_digest(cpu: Cpu) -> bytes:
    """SHA-256 over the instruction count, the idle time and every register."""
    values = (cpu.native.icount, cpu.native.idle_ns, *cpu.platform.registers())
    return hashlib.sha256(repr(values).encode()).digest()


def capture(cpu: Cpu, bus: Bus) -> CpuState:
    """The CPU's state where it stands."""
    native = cpu.native
    return CpuState(
        native.icount,
        native.idle_ns,
        native.posted_at,
        cpu.platform.registers(),
        _windows(cpu),
        vmstate.encode(cpu.platform.state),
        vmstate.encode(bus.timers.state),
    )


def save(cpu: Cpu, bus: Bus, loop: LoopState) -> NodeState:
    """The state to be loaded again.  The CPU is as it was."""
    native = cpu.native
    engine = cpu.core.save()
    float_flags = cpu.platform.float_flags()
    # Reading them has ended a load reservation; here it is again.
    cpu.core.restore(engine)
    return NodeState(
        native.icount,
        native.idle_ns,
        native.posted_at,
        engine,
        _windows(cpu),
        vmstate.encode(cpu.platform.state),
        vmstate.encode(bus.timers.state),
        loop,
        float_flags,
    )


def load(cpu: Cpu, bus: Bus, state: NodeState) -> None:
    """Put the CPU, whose memory has been loaded, into a saved state; StateError if it is of another machine."""
    if len(state.windows) != len(cpu.windows):
        raise StateError(f"saved state has {len(state.windows)} register windows, this machine {len(cpu.windows)}")
    native = cpu.native
    cpu.platform.load(vmstate.decode(type(cpu.platform.state), state.platform))
    bus.timers.state = vmstate.decode(type(bus.timers.state), state.timers)
    try:
        for number, window in enumerate(state.windows):
            native.restore_window(number, window.queue, list(window.gathered), window.raised)
            for register in window.registers:
                native.set_register(number, *register)
        native.resume(state.icount)
        cpu.core.restore(state.engine)
        cpu.platform.restored()
        # Who loaded a state of the first version had none: what it has recorded since replays only so.
        cpu.platform.put_float_flags(0 if state.float_flags == UNKNOWN_FLAGS else state.float_flags)
        # Both have ended a load reservation; here it is again.
        cpu.core.restore(state.engine)
    except (ValueError, OverflowError) as error:
        raise StateError(f"saved state of the CPU: {error}") from error
    native.idle_ns = state.idle_ns
    native.posted_at = state.posted_at


def _windows(cpu: Cpu) -> tuple[WindowState, ...]:
    windows = []
    for number in range(len(cpu.windows)):
        registers, queue, gathered, raised = cpu.native.window_state(number)
        windows.append(WindowState(tuple(registers), queue, tuple(gathered), raised))
    return tuple(windows)


def whole_digest(cpu: Cpu, bus: Bus, memory: GuestMemory) -> bytes:
    """SHA-256 over the canonical state and the memory's digest."""
    return hashlib.sha256(vmstate.encode(capture(cpu, bus)) + memory.digest()).digest()
