"""Where random bytes come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.board import Board, DeviceSlot
from machine.errors import BoardError, RemoteWireError
from machine.icount import FIRST_DEVICE
from replay_broker.entropy import Entropies, SeedStream


def board(*backends: str) -> Board:
    slots = [DeviceSlot(f"rng{i}", "rng", 0x1000_1000 + i * 0x1000, backend=b) for i, b in enumerate(backends)]
    return Board("test", devices=tuple(slots))


def test_a_seed_decides_every_byte_and_another_seed_others() -> None:
    first, again, other = (Entropies(board(word)) for word in ("seed=7", "seed=7", "seed=8"))
    data = first.read(FIRST_DEVICE, 4096)
    assert again.read(FIRST_DEVICE, 4096) == data != other.read(FIRST_DEVICE, 4096)
    assert first.read(FIRST_DEVICE, 16) not in data


def test_the_host_gives_other_bytes_each_time() -> None:
    entropies = Entropies(board("host"))
    assert entropies.read(FIRST_DEVICE, 32) != entropies.read(FIRST_DEVICE, 32)


@given(sizes=st.lists(st.integers(1, 300), max_size=20))
def test_the_stream_does_not_depend_on_how_it_is_cut(sizes: list[int]) -> None:
    stream = SeedStream(1)
    assert b"".join(stream.read(size) for size in sizes) == (SeedStream(1).read(sum(sizes)) if sizes else b"")


@pytest.mark.parametrize("size", [0, 4097])
def test_nobody_gets_none_or_too_many(size: int) -> None:
    with pytest.raises(RemoteWireError, match="1 to 4096"):
        Entropies(board("host")).read(FIRST_DEVICE, size)


@pytest.mark.parametrize("word", ["seed=", "seed", "seed=x", "seed=-1", "dice"])
def test_a_seed_that_is_none_is_refused_by_name(word: str) -> None:
    with pytest.raises(BoardError, match=r"device.rng0.backend"):
        Entropies(board(word))
