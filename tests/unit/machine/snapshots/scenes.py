"""Small memories and snapshots of them; no test lives here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from machine.recording.place import Place
from machine.recording.snapshots.files import HIGHEST_NAME
from machine.recording.snapshots.snapshot import PAGE_BYTES, NodeState, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from machine.recording.snapshots.store import SnapshotStore

RECORDING: Final = "5e" * 16
OTHER: Final = "a1" * 16
MEMORY_PAGES: Final = 1024
PLACE: Final = Place(2048, 7, 900, b"p" * 32, ((1, 40, 0, 2), (3, 41, 2, 1)))
ZERO_PAGE: Final = bytes(PAGE_BYTES)
Memory = dict[int, bytes]
"""Page number -> 4096 bytes; others are all zero."""

contents = st.builds(
    lambda byte, at: bytes(at) + bytes([byte]) * (PAGE_BYTES - at), st.integers(0, 5), st.integers(0, 3)
)
memories = st.dictionaries(st.integers(0, MEMORY_PAGES - 1), contents, max_size=40)


def snapshot(
    number: int,
    *,
    icount: int | None = None,
    label: str = "",
    front: bool = True,
    nodes: str = "cpu serial0",
    memory_pages: int = MEMORY_PAGES,
) -> Snapshot:
    """A snapshot of a machine whose states are of a few bytes."""
    return Snapshot(
        recording=RECORDING,
        number=number,
        icount=1000 * number if icount is None else icount,
        seq=10 * number,
        inputs=3 * number,
        chain=bytes([number % 256]) * 32,
        place=PLACE,
        memory=memory_pages * PAGE_BYTES,
        nodes=tuple(NodeState(name, name.encode() + bytes([number % 256])) for name in nodes.split()),
        broker=b"broker",
        label=label,
        at=1000 * number if icount is None else icount,
        made_ns=10**9 * number,
        front=front,
        at_ns=10**8 * number,
        work_ns=10**7 * number,
    )


def pages(memory: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """What a writer is given of a memory."""
    return iter(sorted(memory.items()))


def plain(seed: int, count: int, first: int = 0) -> Memory:
    """A memory of pages that all differ, and that do not compress to nothing."""
    return {
        first + n: b"".join((seed << 32 | n << 12 | k).to_bytes(8, "little") for k in range(512)) for n in range(count)
    }


def loaded(store: SnapshotStore, number: int, memory_pages: int = MEMORY_PAGES) -> Memory:
    """The memory of a snapshot, without the pages that are all zero."""
    into = memoryview(bytearray(memory_pages * PAGE_BYTES))
    told = store.load_memory(number, into)
    found = seen({n: bytes(into[n * PAGE_BYTES : (n + 1) * PAGE_BYTES]) for n in range(memory_pages)})
    assert told == len(found)
    return found


def seen(memory: Mapping[int, bytes]) -> Memory:
    """A memory as loaded() tells it."""
    return {page: data for page, data in memory.items() if data != ZERO_PAGE}


def files(recording: Path) -> dict[str, bytes]:
    """Everything in a recording's snapshots but the highest number there was."""
    return {path.name: path.read_bytes() for path in (recording / "snapshots").iterdir() if path.name != HIGHEST_NAME}
