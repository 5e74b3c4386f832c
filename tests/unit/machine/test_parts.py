"""Memory and messages travel in parts, and are there what they were; what does not fit is not believed."""

from __future__ import annotations

from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.errors import RemoteWireError
from machine.frame import Frame
from machine.message import SavedPages
from machine.parts import MOST_BYTES, PART_BYTES, parts_of_frames, parts_of_memory, read_frames, unpack_part

if TYPE_CHECKING:
    from collections.abc import Iterable

frames = st.lists(
    st.builds(
        Frame, st.integers(1, 77), st.integers(0, 9), st.integers(0, 9), st.integers(0, 1 << 60),
        st.binary(max_size=40).map(lambda data: data * 9000), st.integers(0, 1 << 40),
    ),
    max_size=6,
)  # fmt: skip


def file_of(parts: Iterable[SavedPages]) -> BufferedReader:
    """The parts put together, in order."""
    out = bytearray()
    for part in parts:
        assert part.offset == len(out)
        out += unpack_part(part, part.offset + MOST_BYTES)
    return cast("BufferedReader", BytesIO(bytes(out)))


@given(frames)
@settings(max_examples=40, deadline=None)
def test_messages_come_as_they_were(sent: list[Frame]) -> None:
    assert list(read_frames(file_of(parts_of_frames(sent)))) == sent


def test_a_past_that_was_cut_is_not_taken_for_a_shorter_one() -> None:
    whole = file_of(parts_of_frames([Frame(34, 0, 2, 7, b"x" * 100, 1)])).read()
    for size in range(1, len(whole)):
        with pytest.raises(RemoteWireError, match="in the middle of a message"):
            list(read_frames(cast("BufferedReader", BytesIO(whole[:size]))))


def test_memory_that_is_zero_does_not_travel() -> None:
    memory = bytearray(5 * PART_BYTES + 4096)
    memory[PART_BYTES + 5] = memory[-1] = 1
    told = list(parts_of_memory(memoryview(memory)))
    assert [part.offset for part in told] == [PART_BYTES, 5 * PART_BYTES]
    there = bytearray(len(memory))
    for part in told:
        data = unpack_part(part, len(there))
        there[part.offset : part.offset + len(data)] = data
    assert there == memory


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (0, b"no zstd frame"),
        (0, zstandard.compress(b"")),
        (0, zstandard.compress(bytes(MOST_BYTES + 1))),
        (4096, zstandard.compress(bytes(8192))),
        (1 << 63, zstandard.compress(bytes(4096))),
    ],
)
def test_a_part_that_does_not_fit_is_refused(offset: int, data: bytes) -> None:
    with pytest.raises(RemoteWireError, match="saved_pages"):
        unpack_part(SavedPages(offset, data), 8192)
