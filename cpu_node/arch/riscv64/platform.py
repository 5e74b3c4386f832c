"""Interrupts, timer and firmware of the RISC-V machine, around the engine's registers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cpu_node import _engine as r
from cpu_node.arch.riscv64 import firmware
from cpu_node.arch.riscv64.plic import SOURCES, Plic, PlicState
from cpu_node.arch.riscv64.registers import (
    FFLAGS,
    MIP_SEIP,
    MIP_SSIP,
    MIP_STIP,
    SUPERVISOR,
    SUPERVISOR_EXCEPTIONS,
    SUPERVISOR_INTERRUPTS,
    machine_mode,
    read_all,
    read_fcsr,
    write_fcsr,
)
from machine.board import CONTROLLER_WINDOWS
from machine.bounds import U64
from machine.message import PowerOffReason
from machine.vmstate import vmstate

if TYPE_CHECKING:
    from cpu_node._engine import Core
    from cpu_node.arch.spec import Host
    from machine.board import Board

TIMEBASE_NS: Final = 100
"""10 MHz, as on QEMU's virt board."""
NEVER_TICKS: Final = (1 << 64) - 1
TEST_FINISHERS: Final = {
    0x5555: PowerOffReason.SHUTDOWN,
    0x3333: PowerOffReason.FAILURE,
    0x7777: PowerOffReason.REBOOT,
}
"""The low half of a store to the test device (SiFive test finisher, as on QEMU's virt board)."""
ARGUMENTS: Final = tuple(range(r.UC_RISCV_REG_X10, r.UC_RISCV_REG_X15 + 1))


@vmstate("riscv64-platform", 1)
@dataclass(slots=True)
class PlatformState:
    """Timer and interrupt controller; `shown` is what the CPU's pending register was last told."""

    plic: PlicState = field(default_factory=PlicState)
    timer_ticks: U64 = NEVER_TICKS
    timer_pending: bool = False
    shown: U64 = 0


class RiscvPlatform:
    """See cpu_node/arch/spec.py, Platform."""

    def __init__(self, core: Core, board: Board) -> None:
        del board
        self._core = core
        self.state = PlatformState()
        self.windows = CONTROLLER_WINDOWS

    def load(self, state: object) -> None:
        """Timer and interrupt controller."""
        assert isinstance(state, PlatformState)
        self.state = state

    def restored(self) -> None:
        """The engine looks for interrupts where its pending register is written (docs/DETERMINISM.md)."""
        with machine_mode(self._core):
            pending = self._core.reg_read(r.UC_RISCV_REG_MIP)
            self._core.reg_write(r.UC_RISCV_REG_MIP, 0)
            self._core.reg_write(r.UC_RISCV_REG_MIP, pending)

    @property
    def _plic(self) -> Plic:
        return Plic(self.state.plic)

    def read(self, window: str, offset: int, size: int) -> int:
        """Registers are 32 bits wide; wider loads see two."""
        if window != "plic":
            return 0
        low = self._plic.read(offset & ~3) >> (8 * (offset & 3))
        if size > 4:  # noqa: PLR2004
            return low | self._plic.read((offset & ~3) + 4) << 32
        return low

    def write(self, window: str, offset: int, size: int, value: int, host: Host) -> None:
        """Registers are 32 bits wide; wider stores reach two."""
        if window == "plic":
            self._plic.write(offset & ~3, value & 0xFFFF_FFFF)
            if size > 4:  # noqa: PLR2004
                self._plic.write((offset & ~3) + 4, value >> 32)
        elif offset == 0 and (reason := TEST_FINISHERS.get(value & 0xFFFF)):
            host.power_off(reason)

    def set_line(self, irq: int, level: bool) -> None:
        """A device drives its interrupt line."""
        self._plic.set_line(irq, level)

    def raised(self) -> tuple[int, ...]:
        """The interrupt lines that devices drive high."""
        return tuple(irq for irq in range(1, SOURCES) if self.state.plic.levels >> irq & 1)

    def timer_ns(self) -> int | None:
        """Virtual time at which the timer runs out."""
        if self.state.timer_pending or self.state.timer_ticks == NEVER_TICKS:
            return None
        return self.state.timer_ticks * TIMEBASE_NS

    def firmware_call(self, host: Host) -> None:
        """One SBI call: a7, a6 and a0 to a5 in, a0 and a1 out."""
        core = self._core
        extension = core.reg_read(r.UC_RISCV_REG_X17)
        function = core.reg_read(r.UC_RISCV_REG_X16)
        arguments = tuple(int(core.reg_read(number)) for number in ARGUMENTS)
        error, value = firmware.call(extension, function, arguments, self, host)
        core.reg_write(r.UC_RISCV_REG_X10, error & NEVER_TICKS)
        if extension >= firmware.BASE:
            core.reg_write(r.UC_RISCV_REG_X11, value & NEVER_TICKS)

    def set_timer(self, ticks: int) -> None:
        """SBI set_timer: an armed timer is not pending."""
        self.state.timer_ticks = ticks
        self.state.timer_pending = False

    def raise_software_interrupt(self) -> None:
        """SBI send_ipi to the only hart."""
        with machine_mode(self._core):
            pending = self._core.reg_read(r.UC_RISCV_REG_MIP)
            self._core.reg_write(r.UC_RISCV_REG_MIP, pending | MIP_SSIP)

    def settle(self, now_ns: int) -> None:
        """Timer and external interrupt as they are now; the engine takes them by itself."""
        state = self.state
        if state.timer_ticks != NEVER_TICKS and state.timer_ticks * TIMEBASE_NS <= now_ns:
            state.timer_pending = True
        show = (MIP_STIP if state.timer_pending else 0) | (MIP_SEIP if self._plic.asserted() else 0)
        if show == state.shown:
            return
        state.shown = show
        with machine_mode(self._core):
            software = self._core.reg_read(r.UC_RISCV_REG_MIP) & MIP_SSIP
            self._core.reg_write(r.UC_RISCV_REG_MIP, software | show)

    def wakes(self) -> bool:
        """Pending and enabled one by one, whatever sstatus.SIE says (Volume II, 3.3.3)."""
        with machine_mode(self._core):
            pending = self._core.reg_read(r.UC_RISCV_REG_MIP)
            return bool(pending & self._core.reg_read(r.UC_RISCV_REG_MIE))

    def registers(self) -> tuple[int, ...]:
        """Every architectural register, in a fixed order."""
        return read_all(self._core)

    def float_flags(self) -> int:
        """Bits 0 to 4 of fcsr (Volume I, 11.2), which the engine keeps behind what it saves; frm is saved."""
        with machine_mode(self._core):
            return read_fcsr(self._core) & FFLAGS

    def put_float_flags(self, flags: int) -> None:
        """Sets the whole fcsr."""
        if flags & ~FFLAGS:
            raise ValueError(f"{flags:#x} are no floating-point exceptions of this CPU")
        with machine_mode(self._core):
            write_fcsr(self._core, flags)

    def drop_code_at(self, address: int, size: int) -> None:
        """The engine takes addresses as the CPU sees them; in machine mode those are physical."""
        with machine_mode(self._core):
            self._core.remove_cache(address, address + size)

    def enter(self, entry: int, device_tree: int) -> None:
        """Supervisor mode, a0 = hart 0, a1 = device tree, everything delegated."""
        core = self._core
        core.reg_write(r.UC_RISCV_REG_PRIV, 3)
        core.reg_write(r.UC_RISCV_REG_MEDELEG, SUPERVISOR_EXCEPTIONS)
        core.reg_write(r.UC_RISCV_REG_MIDELEG, SUPERVISOR_INTERRUPTS)
        core.reg_write(r.UC_RISCV_REG_MCOUNTEREN, 7)
        # As OpenSBI leaves it: Linux does not set it, and a program's clock in its vDSO is a rdtime in user mode.
        core.reg_write(r.UC_RISCV_REG_SCOUNTEREN, 7)
        core.reg_write(r.UC_RISCV_REG_PRIV, SUPERVISOR)
        core.reg_write(r.UC_RISCV_REG_X10, 0)
        core.reg_write(r.UC_RISCV_REG_X11, device_tree)
        core.reg_write(r.UC_RISCV_REG_PC, entry)
