"""The guests that tests run, and boards and scripts for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "guests"

DMACOPY: Final = """
[[device]]
name = "dma0"
kind = "tests.devices.dmacopy:SPEC"
address = 0x10010000
irq = 12
compatible = ["dejavm,dmacopy"]
"""

BARE: Final = """
[machine]
name = "test"
cpu = "riscv64"
memory = "64M"
shift = 0
sleep = "on"

[[device]]
name = "serial0"
kind = "serial"
address = 0x10000000
irq = 10
backend = "stdio"
compatible = ["ns16550a"]
properties = { clock-frequency = 3686400 }
"""

BOOT_AND_POWER_OFF: Final = "console=ttyS0 earlycon=sbi rdinit=/bin/busybox -- poweroff -f"
"""The command line of the shortest Debian session."""


def guest(name: str) -> Path:
    """The image of a bare-metal guest of tests/guests."""
    return DIRECTORY / f"{name}.bin"


def saboteur(module: str) -> str:
    """A device of tests/saboteurs where the `poke` guest looks for it."""
    return f"""
[[device]]
name = "cheat0"
kind = "tests.saboteurs.{module}:SPEC"
address = 0x10011000
compatible = ["dejavm,poke"]
"""


def shell_script(*commands: str) -> str:
    """A script that types commands at the Debian guest's prompt, one after the other, and then leaves."""
    lines = []
    for command in (*commands, "exit"):
        escaped = command.replace("\\", "\\\\").replace('"', '\\"')
        lines += ['expect "/ # "', f'send "{escaped}\\n"']
    return "\n".join(lines) + "\n"


def echo_script(*lines: str) -> str:
    """A script that says lines to the echo guest, waits for each to come back, and ends it."""
    steps = ["expect READY"]
    for line in lines:
        steps += [f'send "{line}\\n"', f'expect "{line.upper()}"']
    return "\n".join([*steps, 'send "\\x04"', "expect PASS"]) + "\n"
