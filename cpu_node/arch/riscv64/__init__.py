"""RISC-V RV64GC with supervisor mode: SiFive U54, PLIC, SBI firmware."""

from __future__ import annotations

from typing import Final

from cpu_node.arch.riscv64 import debugging
from cpu_node.arch.riscv64.devicetree import build_device_tree
from cpu_node.arch.riscv64.inspect import NAMES, disassemble, physical
from cpu_node.arch.riscv64.platform import RiscvPlatform
from cpu_node.arch.spec import ArchSpec, Debugging, Inspect

RISCV64: Final = ArchSpec(
    name="riscv64",
    load_address=0x8020_0000,
    create=RiscvPlatform,
    device_tree=build_device_tree,
    inspect=Inspect(names=NAMES, pc="pc", physical=physical, disassemble=disassemble),
    debugging=Debugging(
        debugging.ARCHITECTURE, debugging.FEATURES, debugging.view, debugging.put, steps_over_watched=True
    ),
)
