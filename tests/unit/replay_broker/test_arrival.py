"""Guest memory that comes from another host: what arrives is what was there, and nothing else is believed."""

from __future__ import annotations

import os
from array import array
from functools import cache
from typing import TYPE_CHECKING, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cpu_node.memory import GuestMemory
from cpu_node.remote_staging import RemoteStaging
from machine.board import RAM_BASE
from machine.errors import RemoteWireError
from machine.message import SavedPages
from machine.parts import MOST_BYTES
from replay_broker.snapshots.arrival import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cpu_node.link import Link

MEMORY = 4 << 20
PAGE = 4096


class Wire:
    """A link whose other end is an Arrival."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self.parts = 0

    def pages(self, part: SavedPages) -> None:
        """A part of memory travels."""
        self._arrival.take(part)
        self.parts += 1


@cache
def guest_memory() -> GuestMemory:
    """One for all examples: it lives as long as its process."""
    return GuestMemory(MEMORY)


@pytest.fixture
def arrival() -> Iterator[Arrival]:
    found = Arrival(MEMORY)
    yield found
    found.close()


def arrived(arrival: Arrival, granules: bytes, granule: int) -> dict[int, bytes]:
    """What a reader of the copy finds, by granule."""
    with open(arrival.path, "rb") as copy:
        return {number: os.pread(copy.fileno(), granule, number * granule) for number in array("I", granules)}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, MEMORY - 9), st.binary(min_size=1, max_size=9)), max_size=12))
def test_all_memory_arrives_and_then_what_has_changed(writes: list[tuple[int, bytes]]) -> None:
    arrival, memory = Arrival(MEMORY), guest_memory()
    memory.clear()
    memory.write(RAM_BASE + 5, b"first")
    staging = RemoteStaging(memory, cast("Link", Wire(arrival)))  # it has all that is used
    try:
        for changes in ([], writes):
            for offset, data in changes:
                memory.write(RAM_BASE + offset, data)
            arrival.begin()
            found = arrived(arrival, staging.take(), staging.granule)
            assert all(found[offset // staging.granule] for offset, _ in changes)
            for number, data in found.items():
                assert data == memory.read(RAM_BASE + number * staging.granule, staging.granule)
        assert staging.path == ""
    finally:
        staging.end()
        arrival.close()


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (0, b"no frame at all"),
        (0, zstandard.compress(bytes(PAGE))[:-1]),
        (0, zstandard.compress(bytes(PAGE + 1))),
        (0, zstandard.compress(b"")),
        (1, zstandard.compress(bytes(PAGE))),
        (MEMORY, zstandard.compress(bytes(PAGE))),
        (1 << 63, zstandard.compress(bytes(PAGE))),
        (0, zstandard.compress(bytes(MOST_BYTES + PAGE))),
        (0, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(PAGE))),
    ],
)
def test_what_is_no_part_of_this_memory_is_refused(arrival: Arrival, offset: int, data: bytes) -> None:
    with pytest.raises(RemoteWireError, match="saved_pages"):
        arrival.take(SavedPages(offset, data))
