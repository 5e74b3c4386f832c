"""The native counter, which counts blocks, equals a count of single instructions on every bare-metal guest."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from unicorn import UC_HOOK_CODE, UC_HOOK_INTR
from unicorn.unicorn_py3.unicorn import uclib

from tests.harness import lonely_cpu
from tests.harness.guests import guest

if TYPE_CHECKING:
    from cpu_node.engine import Cpu

pytestmark = pytest.mark.system

SOURCE: Final = Path(lonely_cpu.__file__).parent / "count.c"
ILLEGAL: Final = 2
ECALL: Final = 8
DATA: Final = (4, 5, 6, 7, 13, 15)
GUESTS: Final = (
    "counters", "aspaces", "pagecross", "midfault", "selfmod", "timer", "aging", "nap", "compute",
    "doze", "reserve", "topmost",
)  # fmt: skip
"""Not `traps`: the engine reports neither breakpoints nor most accesses to nothing to the hooks used here."""


class Counts(ctypes.Structure):
    """struct counts of count.c."""

    _fields_ = (
        ("started", ctypes.c_uint64),
        ("illegal_traps", ctypes.c_uint64),
        ("last_pc", ctypes.c_uint64),
        ("was_illegal", ctypes.c_uint64),
        ("causes", ctypes.c_uint64 * 32),
    )


@pytest.fixture(scope="module")
def counters(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """count.c as a library: hooks in Python would take minutes."""
    path = tmp_path_factory.mktemp("count") / "count.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", path, SOURCE], check=True)
    return ctypes.CDLL(str(path))


def _count(cpu: Cpu, counters: ctypes.CDLL) -> Counts:
    counts = Counts()
    for kind, function in ((UC_HOOK_CODE, counters.count_instruction), (UC_HOOK_INTR, counters.count_exception)):
        hook = ctypes.c_size_t()
        callback, user = ctypes.cast(function, ctypes.c_void_p), ctypes.cast(ctypes.byref(counts), ctypes.c_void_p)
        everywhere = (ctypes.c_uint64(1), ctypes.c_uint64(0))
        engine = ctypes.c_void_p(cpu.core.handle)
        assert uclib.uc_hook_add(engine, ctypes.byref(hook), kind, callback, user, *everywhere) == 0
    return counts


def _retired(cpu: Cpu, counts: Counts) -> int:
    """What was begun, less what trapped; more what only the native part executed, the reads of counters.

    An instruction that cannot be fetched is never begun.  The engine reports a read of the time as illegal,
    and the guest goes on behind it.
    """
    causes = counts.causes
    trapped = sum(causes[cause] for cause in DATA) + causes[ECALL] + counts.illegal_traps
    time_reads = causes[ILLEGAL] - counts.illegal_traps
    never_begun = cpu.native.n_emulated - time_reads
    assert never_begun >= 0
    return int(counts.started - trapped + never_begun)


@pytest.mark.parametrize("name", GUESTS)
def test_the_native_counter_equals_a_count_of_single_instructions(counters: ctypes.CDLL, name: str) -> None:
    machine = lonely_cpu.LonelyCpu(guest(name))
    counts = _count(machine.cpu, counters)
    said = machine.run()
    assert said.endswith("PASS\n")
    assert machine.cpu.native.icount == _retired(machine.cpu, counts)


@pytest.mark.parametrize("name", ["counters", "aspaces", "midfault", "timer", "traps"])
def test_counting_single_instructions_changes_nothing(counters: ctypes.CDLL, name: str) -> None:
    plain, counted = lonely_cpu.LonelyCpu(guest(name)), lonely_cpu.LonelyCpu(guest(name))
    counts = _count(counted.cpu, counters)
    assert plain.run() == counted.run()
    assert counts.started > 0
    assert plain.cpu.native.icount == counted.cpu.native.icount


@pytest.mark.parametrize("name", ["counters", "aspaces", "midfault"])
def test_the_guest_counts_what_it_expects(name: str) -> None:
    said = lonely_cpu.LonelyCpu(guest(name)).run()
    found = re.findall(r"^instret-delta (\d+) expect (\d+) ", said, re.MULTILINE)
    assert found
    assert [got for got, _ in found] == [expected for _, expected in found]


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize("rows", [1, 12])
def test_blocks_for_which_no_row_is_left_are_counted_too(name: str, rows: int) -> None:
    plain, crowded = lonely_cpu.LonelyCpu(guest(name)), lonely_cpu.LonelyCpu(guest(name))
    crowded.cpu.native.most_translations = rows
    assert plain.run() == crowded.run()
    few, many = crowded.cpu.native, plain.cpu.native
    assert few.n_decoded + few.n_flushes > many.n_decoded + many.n_flushes
    assert few.icount == many.icount
    assert crowded.cpu.platform.registers() == plain.cpu.platform.registers()
