"""The RISC-V CPU as gdb knows it: its features' registers in gdb's order, their values, and how they are set.

Sources: the GDB manual, appendix G.5.10 (RISC-V Features); the RISC-V Instruction Set Manual, Volume II, 4.1
(supervisor CSRs, of which sstatus, sie and sip are views of the machine's).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpu_node import _engine as r
from cpu_node.arch.riscv64.inspect import NAMES
from cpu_node.arch.riscv64.registers import CONTROL, FFLAGS, machine_mode, read_fcsr, write_fcsr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cpu_node._engine import Core

_GENERAL: Final = ("zero", *NAMES[2:33])
_FLOATING: Final = NAMES[33:65]
_CONTROL: Final = NAMES[66:]
_VIEWS: Final = ("sstatus", "sie", "sip")
_FLOATING_CONTROL: Final[Mapping[str, tuple[int, int]]] = {"fcsr": (0, 0xFF), "fflags": (0, FFLAGS), "frm": (5, 7)}
"""Bits of fcsr: (first, mask)."""
_COUNTERS: Final = ("cycle", "time", "instret")
SSTATUS_MASK: Final = 0x8000_0003_000D_E762
TICK_NS: Final = 100

ARCHITECTURE: Final = "riscv:rv64"
FEATURES: Final = (
    ("org.gnu.gdb.riscv.cpu", (*((n, 64, "code_ptr" if n == "ra" else "data_ptr" if n in ("sp", "gp", "tp") else "int")
                                 for n in _GENERAL), ("pc", 64, "code_ptr"))),
    ("org.gnu.gdb.riscv.fpu", (*((name, 64, "ieee_double") for name in _FLOATING), ("fflags", 32, "int"),
                               ("frm", 32, "int"), ("fcsr", 32, "int"))),
    ("org.gnu.gdb.riscv.csr", tuple((name, 64, "int") for name in (*_VIEWS, *_CONTROL, *_COUNTERS))),
    ("org.gnu.gdb.riscv.virtual", (("priv", 64, "int"),)),
)  # fmt: skip
"""gdb's features, each with its registers as (name, bits, type), in the order of their numbers."""


def view(values: tuple[int, ...], icount: int, now_ns: int) -> Mapping[str, int]:
    """Every register of FEATURES by name."""
    found = dict(zip(NAMES, values, strict=True))
    found |= {
        "zero": 0,
        "fflags": found["fcsr"] & FFLAGS,
        "frm": found["fcsr"] >> 5 & 7,
        "sstatus": found["mstatus"] & SSTATUS_MASK,
        "sie": found["mie"] & found["mideleg"],
        "sip": found["mip"] & found["mideleg"],
        "cycle": icount,
        "instret": icount,
        "time": now_ns // TICK_NS,
    }
    return found


def put(core: Core, name: str, value: int) -> bool:
    """Set a register; False if it is one that cannot be set by its name."""
    if name == "pc":
        # Its bit 0 is always clear (Volume I, 2.5.1); from an odd address the engine may never come back.
        core.reg_write(r.UC_RISCV_REG_PC, value & ~1)
    elif name == "priv":
        core.reg_write(r.UC_RISCV_REG_PRIV, value & 3)
    elif name in _GENERAL[1:]:
        core.reg_write(r.UC_RISCV_REG_X1 + _GENERAL.index(name) - 1, value)
    elif name in _FLOATING:
        core.reg_write(r.UC_RISCV_REG_F0 + _FLOATING.index(name), value)
    elif name in _CONTROL:
        with machine_mode(core):
            core.reg_write(CONTROL[_CONTROL.index(name)], value)
    elif name in _VIEWS:
        _put_view(core, name, value)
    elif name in _FLOATING_CONTROL:
        _put_floating_control(core, name, value)
    else:
        return False
    return True


def _put_view(core: Core, name: str, value: int) -> None:
    """Those bits of a machine's register that the supervisor has."""
    with machine_mode(core):
        delegated = int(core.reg_read(r.UC_RISCV_REG_MIDELEG))
        number, mask = {
            "sstatus": (r.UC_RISCV_REG_MSTATUS, SSTATUS_MASK),
            "sie": (r.UC_RISCV_REG_MIE, delegated),
            "sip": (r.UC_RISCV_REG_MIP, delegated),
        }[name]
        core.reg_write(number, int(core.reg_read(number)) & ~mask | value & mask)


def _put_floating_control(core: Core, name: str, value: int) -> None:
    """All of fcsr, or one of its fields."""
    shift, mask = _FLOATING_CONTROL[name]
    with machine_mode(core):
        write_fcsr(core, read_fcsr(core) & ~(mask << shift) & 0xFF | (value & mask) << shift)
