"""Guest memory: what lies outside is nothing, and the digest is that of the contents alone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from cpu_node.memory import GuestMemory
from cpu_node.timeline.memory import PrivateMemory
from machine.board import PAGE_BYTES, RAM_BASE

if TYPE_CHECKING:
    import pytest

SIZE = 16 << 20
END = RAM_BASE + SIZE
near_an_edge = st.one_of(st.integers(RAM_BASE - 64, RAM_BASE + 64), st.integers(END - 64, END + 64))


@settings(deadline=None, max_examples=50)
@given(near_an_edge, st.binary(max_size=100))
def test_a_store_across_an_edge_keeps_what_lies_inside(address: int, data: bytes) -> None:
    memory = GuestMemory(SIZE)
    start, size = memory.write(address, data)
    inside = [i for i in range(len(data)) if RAM_BASE <= address + i < END]
    assert size == len(inside)
    if inside:
        assert start == address + inside[0]
    expected = bytes(data[i] if i in inside else 0 for i in range(len(data)))
    assert memory.read(address, len(data)) == expected


def test_memory_is_zero_at_power_on_and_outside() -> None:
    memory = GuestMemory(SIZE)
    assert memory.read(RAM_BASE, 10) == bytes(10)
    assert memory.read(0, 10) == bytes(10)
    assert memory.read(END, 10) == bytes(10)


def test_whether_a_range_lies_inside() -> None:
    memory = GuestMemory(SIZE)
    assert memory.holds(RAM_BASE, SIZE)
    assert not memory.holds(RAM_BASE, SIZE + 1)
    assert not memory.holds(RAM_BASE - 1, 1)


def test_the_digest_is_of_every_page_that_is_not_zero_with_its_number() -> None:
    memory = GuestMemory(SIZE)
    assert memory.digest() == hashlib.sha256().digest()
    memory.write(RAM_BASE + 5 * PAGE_BYTES + 7, b"x")
    page = bytes(7) + b"x" + bytes(PAGE_BYTES - 8)
    assert memory.digest() == hashlib.sha256((5).to_bytes(8, "little") + page).digest()


def test_a_page_that_was_written_and_cleared_leaves_no_trace_in_the_digest() -> None:
    memory = GuestMemory(SIZE)
    memory.write(RAM_BASE, b"abc")
    memory.write(RAM_BASE, bytes(3))
    assert memory.digest() == GuestMemory(SIZE).digest()


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.integers(0, SIZE // PAGE_BYTES - 1), st.integers(1, 255), max_size=8))
def test_the_order_of_stores_does_not_change_the_digest(pages: dict[int, int]) -> None:
    rows = list(pages.items())
    digests = set()
    for order in (rows, rows[::-1]):
        memory = GuestMemory(SIZE)
        for page, value in order:
            memory.write(RAM_BASE + page * PAGE_BYTES, bytes([value]))
        digests.add(memory.digest())
    assert len(digests) == 1


def test_another_process_finds_the_memory_by_its_path() -> None:
    memory = GuestMemory(SIZE)
    memory.write(RAM_BASE, b"shared")
    with Path(memory.path).open("rb") as file:
        assert file.read(6) == b"shared"


def test_a_file_is_read_to_where_it_is_wanted_and_its_early_end_is_told(tmp_path: Path) -> None:
    memory = GuestMemory(SIZE)
    path = tmp_path / "file"
    path.write_bytes(b"guest")
    with path.open("rb", buffering=0) as file:
        assert memory.load(RAM_BASE + 1, file, 5) == 5
        file.seek(2)
        assert memory.load(END - 4, file, 4) == 3
    assert memory.read(RAM_BASE, 7) == b"\0guest\0"
    assert memory.read(END - 4, 4) == b"est\0"


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, SIZE // PAGE_BYTES - 1), max_size=8))
def test_what_was_touched_of_private_memory_is_what_is_looked_at(pages: set[int]) -> None:
    memory = PrivateMemory(SIZE)
    assert list(memory.extents()) == []
    for page in pages:
        memory.write(RAM_BASE + page * PAGE_BYTES, b"x")
    assert {page for start, end in memory.extents() for page in range(start // PAGE_BYTES, end // PAGE_BYTES)} == pages
    assert [page for page, _ in memory.pages()] == sorted(pages)
    memory.clear()
    assert list(memory.extents()) == []


def test_a_fork_knows_what_was_touched_before_it_and_what_it_has_touched_itself() -> None:
    memory = PrivateMemory(SIZE)
    memory.write(RAM_BASE + 3 * PAGE_BYTES, b"x")
    child = os.fork()
    if child == 0:
        memory.write(RAM_BASE + 7 * PAGE_BYTES, b"y")
        os._exit([page for page, _ in memory.pages()] != [3, 7])
    assert os.waitpid(child, 0)[1] == 0
    assert [page for page, _ in memory.pages()] == [3]


def test_private_memory_of_a_host_that_does_not_tell_is_all_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pagemap = tmp_path / "pagemap"
    monkeypatch.setattr("cpu_node.timeline.memory.PAGEMAP", str(pagemap))
    memory = PrivateMemory(1 << 20)
    assert list(memory.extents()) == [(0, 1 << 20)]
    pagemap.write_bytes(b"short")
    assert list(memory.extents()) == [(0, 1 << 20)]
