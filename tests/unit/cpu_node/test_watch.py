"""Which parts of memory have been written, each told once, whoever writes; and whether what is guarded was touched."""

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

GUARDED = """
import ctypes, os
from cpu_node import _engine
from cpu_node.timeline.guards import Guards
from cpu_node.timeline.memory import PrivateMemory
from machine.board import PAGE_BYTES, RAM_BASE
READ, WRITE = _engine.HIT_READ, _engine.HIT_WRITE
memory = PrivateMemory(64 * PAGE_BYTES)
guards, view = Guards(memory), memory.view

def touched_by(access, *watches):
    guards.set(watches)
    assert not guards.touched
    access()
    return guards.touched

def store(page, offset=0):
    def write():
        view[page * PAGE_BYTES + offset] = 7
        assert view[page * PAGE_BYTES + offset] == 7
    return write

def load(page):
    return lambda: view[page * PAGE_BYTES]

def watch(page, kinds=WRITE, size=8):
    start = RAM_BASE + page * PAGE_BYTES
    return start, start + size - 1, kinds

assert touched_by(store(3), watch(3))
assert touched_by(store(3, PAGE_BYTES - 1), watch(3))
assert not touched_by(store(2), watch(3)) and not touched_by(store(4), watch(3))
assert not touched_by(load(3), watch(3))
assert touched_by(load(3), watch(3, READ)) and touched_by(store(3), watch(3, READ))
# Two that share a page: the one that minds reads counts, whichever comes first.
both = watch(3, READ, 16), watch(3, WRITE)
assert touched_by(load(3), *both) and touched_by(load(3), *both[::-1])
assert touched_by(store(6), watch(5, WRITE, PAGE_BYTES + 1))
assert not touched_by(store(7), watch(5, WRITE, 2 * PAGE_BYTES))
assert touched_by(store(63), (RAM_BASE + 63 * PAGE_BYTES, 1 << 62, WRITE))
assert touched_by(store(0), (0, RAM_BASE, WRITE))
assert not touched_by(store(0), (0, RAM_BASE - 1, WRITE), (memory.end, memory.end + 7, WRITE))
assert touched_by(lambda: ctypes.memset(memory.host_address, 0, 9 * PAGE_BYTES), watch(8), watch(9))
# A fork has guards of its own.
guards.set([watch(3)])
if os.fork() == 0:
    store(3)()
    os._exit(42 if guards.touched else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 42 and not guards.touched
# The kernel does not come through, so who has it write takes them away first, and that counts.
zero = open("/dev/zero", "rb", buffering=0)
try:
    zero.readinto(view[3 * PAGE_BYTES : 4 * PAGE_BYTES])
except OSError:
    pass
else:
    raise AssertionError
guards.end()
assert zero.readinto(view) == 64 * PAGE_BYTES and guards.touched
for wrong in ([(memory.host_address + 1, PAGE_BYTES, False)], [(memory.host_address, 1, False)], [(0, 0, False)],
              [(memory.host_address, PAGE_BYTES, False)] * (_engine.MAX_WATCHES + 1)):
    try:
        _engine.set_guards(wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
print("told", flush=True)
guards.set([watch(3)])
ctypes.memset(8, 0, 1)
"""


def test_each_written_part_is_told_once_and_other_faults_stay_faults() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "told\n", done.stderr
    assert done.returncode < 0


def test_a_touch_of_what_is_guarded_is_told_whoever_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "told\n", done.stderr
    assert done.returncode < 0
