"""How fast a recording's snapshots are written and read, without a machine around them."""

from __future__ import annotations

import mmap
import random
import resource
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.recording.place import Place
from machine.recording.snapshots.snapshot import PAGE_BYTES, NodeState, Snapshot
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDING: Final = "00" * 16
MEMORY: Final = 512 << 20
PAGES: Final = 38_000
"""What a guest touches that works for a while."""
CHANGED: Final = 3_000
STAMP_BYTES: Final = 8


def measure_store(directory: Path, kernel: Path, rounds: int) -> dict[str, float | int]:
    """CPU seconds of this process: medians, but for the first snapshot and the last, of which there is one."""
    source, chance = kernel.read_bytes(), random.Random(1)
    pages = {number: _page(source, number) for number in range(PAGES)}
    writer, store = SnapshotWriter(directory, RECORDING), SnapshotStore(directory, RECORDING)
    figures: dict[str, float | int] = {}
    figures["first, CPU s"] = _cpu_s(lambda: writer.add(_snapshot(1), iter(pages.items()), None))
    figures["first, bytes"] = store.list()[0].bytes
    adding: list[float] = []
    for number in range(2, rounds + 2):
        start = chance.randrange(PAGES - CHANGED)
        changes = {page: _page(source, page + number * PAGES) for page in range(start, start + CHANGED)}
        pages |= changes
        adding.append(_cpu_s(lambda n=number, c=changes: writer.add(_snapshot(n), iter(c.items()), n - 1)))  # type: ignore[misc]
    figures["3,000 changed, CPU s"] = statistics.median(adding)
    figures["load, CPU s"] = statistics.median(_load(store, rounds + 1, pages) for _ in range(rounds))
    figures["list anew, CPU s"] = _cpu_s(lambda: SnapshotStore(directory, RECORDING).list())
    figures["list again, CPU s"] = _cpu_s(store.list)
    return {name: round(value, 4) for name, value in figures.items()}


def _page(source: bytes, number: int) -> bytes:
    """A page of the kernel with a number in front: none is like another."""
    start = number * PAGE_BYTES % (len(source) - PAGE_BYTES)
    return number.to_bytes(STAMP_BYTES, "little") + source[start + STAMP_BYTES : start + PAGE_BYTES]


def _load(store: SnapshotStore, number: int, expected: dict[int, bytes]) -> float:
    """Into fresh memory, as a machine has it."""
    with mmap.mmap(-1, MEMORY) as memory, memoryview(memory) as into:
        seconds = _cpu_s(lambda: store.load_memory(number, into))
        assert all(into[n * PAGE_BYTES : (n + 1) * PAGE_BYTES] == page for n, page in expected.items())
    return seconds


def _cpu_s(act: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    act()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _snapshot(number: int) -> Snapshot:
    state = NodeState("cpu", bytes(PAGE_BYTES))
    return Snapshot(
        RECORDING, number, number, number, 0, bytes(32), Place(), MEMORY, (state,), b"", "", number, 0, True, number, 0
    )
