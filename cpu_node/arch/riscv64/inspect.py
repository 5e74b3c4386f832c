"""Looking at a RISC-V machine that stands: registers' names, addresses as the program sees them, instructions.

Sources: the RISC-V Instruction Set Manual, Volume II, 4.3.2 (Virtual Address Translation Process) and 4.4 to 4.6 (Sv39,
Sv48, Sv57); the RISC-V ELF psABI (names of registers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_GENERAL: Final = (
    "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{n}" for n in range(8)),
    *(f"s{n}" for n in range(2, 12)), "t3", "t4", "t5", "t6",
)  # fmt: skip
_FLOATING: Final = (
    *(f"ft{n}" for n in range(8)), "fs0", "fs1", *(f"fa{n}" for n in range(8)),
    *(f"fs{n}" for n in range(2, 12)), *(f"ft{n}" for n in range(8, 12)),
)  # fmt: skip
_CONTROL: Final = (
    "mstatus", "medeleg", "mideleg", "mie", "mip", "mcounteren", "stvec", "scounteren", "sscratch", "sepc", "scause",
    "stval", "satp",
)  # fmt: skip
NAMES: Final = ("pc", "priv", *_GENERAL, *_FLOATING, "fcsr", *_CONTROL)
"""Of what registers.read_all() returns, in its order."""

MACHINE: Final = 3
LEVELS: Final[Mapping[int, int]] = {8: 3, 9: 4, 10: 5}
"""satp.MODE -> levels of page tables: Sv39, Sv48, Sv57."""
PTE_BYTES: Final = 8
PTE_VALID: Final = 1
PTE_LEAF: Final = 0b1110
"""Readable, writable or executable: a leaf has one of them."""


def physical(values: tuple[int, ...], address: int, read: Callable[[int, int], bytes]) -> int | None:
    """The guest physical address of a virtual one, None if it is not mapped; permissions are not looked at."""
    registers = dict(zip(NAMES, values, strict=True))
    satp = registers["satp"]
    levels = LEVELS.get(satp >> 60)
    if levels is None or registers["priv"] == MACHINE:
        return address
    table = (satp & (1 << 44) - 1) << 12
    for level in reversed(range(levels)):
        index = address >> 12 + 9 * level & 0x1FF
        entry = int.from_bytes(read(table + index * PTE_BYTES, PTE_BYTES), "little")
        if not entry & PTE_VALID:
            return None
        target = (entry >> 10 & (1 << 44) - 1) << 12
        if entry & PTE_LEAF:
            span = (1 << 12 + 9 * level) - 1
            return target & ~span | address & span
        table = target
    return None


def disassemble(code: bytes, address: int) -> str:
    """The instruction in a few bytes, as GNU's assembler writes it; the bytes themselves if it is none."""
    # Imported here: of all that look at a machine only few want words, and loading it takes its time.
    import capstone  # noqa: PLC0415

    engine = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
    for _, _, mnemonic, operands in engine.disasm_lite(code, address, 1):
        return f"{mnemonic} {operands}".strip()
    return f".insn {code.hex()}" if code else "not mapped"
