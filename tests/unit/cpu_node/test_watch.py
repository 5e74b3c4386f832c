"""Which parts of memory have been written: each is told once, whoever writes."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, mmap, os
from cpu_node import _engine
GRANULE, COUNT = 1 << 16, 64
fd = os.memfd_create("x")
os.ftruncate(fd, GRANULE * COUNT)
memory = mmap.mmap(fd, GRANULE * COUNT)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
_engine.watch_writes(address, GRANULE * COUNT, GRANULE)
assert _engine.take_written() == []
memory[0] = 1
memory[5 * GRANULE - 1] = 1
memory[5 * GRANULE : 8 * GRANULE] = b"x" * 3 * GRANULE
assert memory[9 * GRANULE] == 0
assert _engine.take_written() == [0, 4, 5, 6, 7]
assert _engine.take_written() == []
ctypes.memset(address + 63 * GRANULE, 7, GRANULE)
memory[4 * GRANULE] = 9
assert _engine.take_written() == [4, 63]
assert memory[63 * GRANULE] == 7 and memory[7 * GRANULE] == ord("x")
memory[0] = 3
_engine.watch_writes(address, GRANULE * COUNT, GRANULE)
assert _engine.take_written() == []
for wrong in ((address, GRANULE, 100), (address, GRANULE + 1, GRANULE)):
    try:
        _engine.watch_writes(*wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
_engine.watch_writes(address, 2 * GRANULE, GRANULE)
memory[0] = memory[6 * GRANULE] = 4
assert _engine.take_written() == [0]
_engine.unwatch()
memory[6 * GRANULE] = 1
assert _engine.take_written() == []
_engine.watch_writes(address, 2 * GRANULE, GRANULE)
memory[GRANULE] = memory[6 * GRANULE] = 2
assert _engine.take_written() == [1]
print("told", flush=True)
ctypes.memset(8, 0, 1)
"""


def test_each_written_part_is_told_once_and_other_faults_stay_faults() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "told\n", done.stderr
    assert done.returncode < 0
