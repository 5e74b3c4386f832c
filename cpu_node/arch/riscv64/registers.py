"""The registers of the guest CPU: how they are reached, and all of them in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cpu_node import _engine as r

if TYPE_CHECKING:
    from cpu_node._engine import Core
MACHINE: Final = 3
SUPERVISOR: Final = 1

MIP_SSIP: Final = 1 << 1
MIP_STIP: Final = 1 << 5
MIP_SEIP: Final = 1 << 9
SUPERVISOR_INTERRUPTS: Final = MIP_SSIP | MIP_STIP | MIP_SEIP
SUPERVISOR_EXCEPTIONS: Final = 0xB3FF
"""Every exception but the firmware's own call (Volume II, table 3.6)."""

GENERAL: Final = tuple(range(r.UC_RISCV_REG_X1, r.UC_RISCV_REG_X31 + 1))
FLOATING: Final = tuple(range(r.UC_RISCV_REG_F0, r.UC_RISCV_REG_F31 + 1))
MSTATUS_FS: Final = 3 << 13
FFLAGS: Final = 0x1F
"""The accrued exceptions in fcsr (Volume I, 11.2)."""
CONTROL: Final = (
    r.UC_RISCV_REG_MSTATUS,
    r.UC_RISCV_REG_MEDELEG,
    r.UC_RISCV_REG_MIDELEG,
    r.UC_RISCV_REG_MIE,
    r.UC_RISCV_REG_MIP,
    r.UC_RISCV_REG_MCOUNTEREN,
    r.UC_RISCV_REG_STVEC,
    r.UC_RISCV_REG_SCOUNTEREN,
    r.UC_RISCV_REG_SSCRATCH,
    r.UC_RISCV_REG_SEPC,
    r.UC_RISCV_REG_SCAUSE,
    r.UC_RISCV_REG_STVAL,
    r.UC_RISCV_REG_SATP,
)


@contextmanager
def machine_mode(core: Core) -> Iterator[None]:
    """CSRs are checked against the current privilege and fail silently: raise it for a moment.

    The engine clears the load reservation at each change of privilege, so this may only happen where
    it happens in every run.
    """
    privilege = core.reg_read(r.UC_RISCV_REG_PRIV)
    core.reg_write(r.UC_RISCV_REG_PRIV, MACHINE)
    try:
        yield
    finally:
        core.reg_write(r.UC_RISCV_REG_PRIV, privilege)


def read_all(core: Core) -> tuple[int, ...]:
    """pc, privilege, x1 to x31, f0 to f31, fcsr, control registers."""
    privilege = core.reg_read(r.UC_RISCV_REG_PRIV)
    values = [core.reg_read(r.UC_RISCV_REG_PC), privilege]
    with machine_mode(core):
        values += [core.reg_read(number) for number in GENERAL + FLOATING]
        values.append(read_fcsr(core))
        values += [core.reg_read(number) for number in CONTROL]
    return tuple(int(value) for value in values)


def read_fcsr(core: Core) -> int:
    """While the floating-point unit is off, fcsr cannot be read, and the engine leaves garbage."""
    status = core.reg_read(r.UC_RISCV_REG_MSTATUS)
    core.reg_write(r.UC_RISCV_REG_MSTATUS, status | MSTATUS_FS)
    value = core.reg_read(r.UC_RISCV_REG_FCSR)
    core.reg_write(r.UC_RISCV_REG_MSTATUS, status)
    return int(value)


def write_fcsr(core: Core, value: int) -> None:
    """Whether the floating-point unit is on or off."""
    status = core.reg_read(r.UC_RISCV_REG_MSTATUS)
    core.reg_write(r.UC_RISCV_REG_MSTATUS, status | MSTATUS_FS)
    core.reg_write(r.UC_RISCV_REG_FCSR, value)
    core.reg_write(r.UC_RISCV_REG_MSTATUS, status)
