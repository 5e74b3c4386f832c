"""What an architecture is to the rest of the CPU node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from machine.message import PowerOffReason

if TYPE_CHECKING:
    from cpu_node._engine import Core
    from machine.board import Board


class Host(Protocol):
    """What a platform may ask of the CPU node."""

    @property
    def now_ns(self) -> int:
        """Virtual time at the instruction being served."""

    def power_off(self, reason: PowerOffReason) -> None:
        """The guest switches the machine off; it runs no further instruction."""

    def console_write(self, data: bytes) -> None:
        """The firmware's console: the machine's first serial line, by the same stores the guest would do."""

    def flush_code(self) -> None:
        """Drop all translated code."""

    def read_memory(self, address: int, size: int) -> bytes:
        """Guest physical memory; bytes outside of it read as zero."""

    def write_memory(self, address: int, data: bytes) -> None:
        """Store into guest physical memory; outside of it nothing happens."""


class Platform(Protocol):
    """Interrupt controller, guest timer and firmware of one CPU, all deterministic, all in this process."""

    @property
    def state(self) -> object:
        """Everything it remembers, a declared vmstate."""

    def load(self, state: object) -> None:
        """Remember this, of the type of `state`."""

    def restored(self) -> None:
        """The engine has been put into a saved state: whether an interrupt is pending it has to be shown anew."""

    @property
    def windows(self) -> tuple[tuple[str, int, int], ...]:
        """Registers it answers itself: name, guest physical address, bytes."""

    def read(self, window: str, offset: int, size: int) -> int:
        """A load from one of its windows."""

    def write(self, window: str, offset: int, size: int, value: int, host: Host) -> None:
        """A store to one of its windows."""

    def set_line(self, irq: int, level: bool) -> None:
        """A device drives its interrupt line."""

    def raised(self) -> tuple[int, ...]:
        """The interrupt lines that devices drive high."""

    def timer_ns(self) -> int | None:
        """Virtual time at which the guest's timer runs out, None when it is not armed."""

    def firmware_call(self, host: Host) -> None:
        """The guest has called the firmware; arguments and results are in its registers."""

    def settle(self, now_ns: int) -> None:
        """At a sync point: show the CPU its pending interrupts as they are now."""

    def wakes(self) -> bool:
        """Whether a CPU that waits for an interrupt has one."""

    def registers(self) -> tuple[int, ...]:
        """Every architectural register, in a fixed order."""

    def float_flags(self) -> int:
        """The exceptions that floating-point arithmetic has accrued: state that is not in the engine's own bytes."""

    def put_float_flags(self, flags: int) -> None:
        """Have accrued these, ValueError if it has no such; registers change that the engine's own bytes have."""

    def drop_code_at(self, address: int, size: int) -> None:
        """Forget translations of code at a guest physical address."""

    def enter(self, entry: int, device_tree: int) -> None:
        """Set the CPU up as the firmware leaves it to a kernel."""


@dataclass(frozen=True, slots=True)
class Inspect:
    """How a machine that stands is looked at; register values are in the order of `names`."""

    names: tuple[str, ...]
    pc: str
    """The name of the one that says where the CPU is."""
    physical: Callable[[tuple[int, ...], int, Callable[[int, int], bytes]], int | None]
    """physical(registers, virtual address, read) -> guest physical address, None if it is not mapped."""
    disassemble: Callable[[bytes, int], str]
    """disassemble(bytes, address) -> the first instruction in words."""


@dataclass(frozen=True, slots=True)
class Debugging:
    """The CPU as gdb knows it."""

    architecture: str
    features: tuple[tuple[str, tuple[tuple[str, int, str], ...]], ...]
    """gdb's features with their registers as (name, bits, gdb's type), in the order of gdb's numbers."""
    view: Callable[[tuple[int, ...], int, int], Mapping[str, int]]
    """view(registers, icount, virtual ns) -> every register of the features by name."""
    put: Callable[[Core, str, int], bool]
    """put(core, name, value): set a register; False if it cannot be set by that name."""
    steps_over_watched: bool
    """gdb takes a watchpoint's stop for one in front of the access, and steps over that before it looks (the GDB
    internals' have_nonsteppable_watchpoint; `maintenance print architecture` tells)."""


@dataclass(frozen=True, slots=True)
class ArchSpec:
    """One row of the architecture table."""

    name: str
    load_address: int
    """Where a kernel that does not say where it belongs is loaded and entered."""
    create: Callable[[Core, Board], Platform]
    device_tree: Callable[[Board, tuple[int, int] | None], bytes]
    """device_tree(board, (initrd start, initrd end) or None) -> flattened tree."""
    inspect: Inspect
    debugging: Debugging
