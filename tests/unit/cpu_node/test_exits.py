"""Leaving translated code: the calls that ask about it are left out, and still nothing runs that should not."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from cpu_node import _engine
from cpu_node.arch import ARCHES
from tests.harness.guests import guest
from tests.harness.lonely_cpu import LonelyCpu

if TYPE_CHECKING:
    from pathlib import Path

COUNT_LEFT_OUT: Final = """
import sys
from pathlib import Path
import cpu_node
from tests.harness.lonely_cpu import LonelyCpu
print(LonelyCpu(Path(sys.argv[1])).run().count("PASS"), cpu_node.calls_left_out())
"""
SWITCH_OFF: Final = (
    0x00100537,  # lui a0, 0x100: the test device
    0x000055B7,  # lui a1, 0x5
    0x55558593,  # addi a1, a1, 0x555
    0x00000617,  # auipc a2, 0
    0x00B52023,  # sw a1, 0(a0): off
    0x00062683,  # lw a3, 0(a2)
    0x10B62023,  # sw a1, 256(a2)
    0x0000006F,  # j .
)
UP_TO_THE_STORE: Final = 5
MARK_AT: Final = 3 * 4 + 256


def test_translated_code_does_not_ask_whether_it_is_to_stop() -> None:
    # In a process of its own: where the unicorn package was loaded first the calls are there.
    argv = [sys.executable, "-c", COUNT_LEFT_OUT, str(guest("compute"))]
    passed, left_out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert passed == "1"
    assert int(left_out) > 100


def test_nothing_runs_behind_the_store_that_switches_the_machine_off(tmp_path: Path) -> None:
    kernel = tmp_path / "off.bin"
    kernel.write_bytes(struct.pack(f"<{len(SWITCH_OFF)}I", *SWITCH_OFF) + bytes(512))
    lonely = LonelyCpu(kernel)
    lonely.run()
    start = ARCHES["riscv64"].load_address
    assert lonely.cpu.native.icount == UP_TO_THE_STORE
    assert lonely.memory.read(start + MARK_AT, 4) == bytes(4)
    assert lonely.cpu.core.reg_read(_engine.UC_RISCV_REG_PC) == start + 4 * UP_TO_THE_STORE
