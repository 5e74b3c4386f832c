"""Thinning: few snapshots, near enough to every place, inside a budget."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.recording.snapshots import thinning
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.thinning import DENSITY, most_kept, to_drop
from machine.recording.snapshots.writer import SnapshotWriter
from tests.unit.machine.snapshots.scenes import RECORDING, loaded, pages, plain, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

steps = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 10**10)), min_size=1, max_size=400)


def stages(icounts: list[int], density: int = DENSITY) -> Iterator[list[int]]:
    """What is left behind each, when thinning is done behind each."""
    left: list[int] = []
    for icount in icounts:
        left.append(icount)
        left = [left[place] for place in sorted(thinning._kept(left, density, (), None))]
        yield left


def survivors(icounts: list[int], density: int = DENSITY) -> list[int]:
    """What is left in the end."""
    return deque(stages(icounts, density), maxlen=1)[0]


def check_distances(made: list[int], kept: list[int], density: int) -> None:
    """What thinning.py promises, for each that was ever made."""
    for icount in made:
        before = kept[bisect_right(kept, icount) - 1]
        assert before <= icount
        assert (icount - before) * ((1 << density) - 1) <= made[-1] - icount


@given(steps=steps, density=st.integers(0, DENSITY))
@settings(max_examples=100, deadline=None)
def test_the_number_grows_with_the_logarithm_of_the_run(steps: list[int], density: int) -> None:
    icounts = list(accumulate(steps))
    kept = survivors(icounts, density)
    assert len(kept) <= most_kept(icounts[-1] - icounts[0], density)
    assert kept[-1] == icounts[-1]


@given(steps=steps, density=st.integers(1, DENSITY))
@settings(max_examples=100, deadline=None)
def test_near_each_that_was_ever_made_one_is_left_and_nearer_the_younger_it_is(steps: list[int], density: int) -> None:
    icounts = list(accumulate(steps))
    check_distances(icounts, survivors(icounts, density), density)


@pytest.mark.parametrize("density", [1, 2, DENSITY])
@pytest.mark.parametrize("seed", range(4))
def test_distances_do_not_add_up_however_often_it_is_done(density: int, seed: int) -> None:
    chance = random.Random(seed)
    icounts = list(accumulate(chance.randrange(1, 1000) for _ in range(120)))
    for length, kept in enumerate(stages(icounts, density), 1):
        check_distances(icounts[:length], kept, density)


@pytest.mark.parametrize("period", [1, 1000, 12_345_678])
def test_a_long_run_keeps_about_as_many_more_for_each_doubling(period: int) -> None:
    counts = [len(survivors([period * n for n in range(length)])) for length in (128, 256, 512, 1024)]
    assert all(0 < more - fewer <= (1 << DENSITY) + 1 for fewer, more in pairwise(counts))
    assert counts[-1] < 300


@given(steps=steps)
@settings(max_examples=30, deadline=None)
def test_what_is_dropped_without_a_budget_is_what_the_default_density_leaves_out(steps: list[int]) -> None:
    icounts = list(accumulate(steps))
    kept = thinning._kept(icounts, DENSITY, (), None)
    assert {*to_drop(icounts, [1] * len(icounts), None)} == {*range(len(icounts))} - kept


@given(steps=steps, data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_rest_fits_the_budget_and_nobody_drops_what_has_a_name(steps: list[int], data: st.DataObject) -> None:
    icounts = list(accumulate(steps))
    places = range(len(icounts))
    sizes = data.draw(st.lists(st.integers(0, 1000), min_size=len(icounts), max_size=len(icounts)))
    named = data.draw(st.sets(st.sampled_from(places), max_size=5))
    budget = data.draw(st.integers(0, sum(sizes)))
    dropped = to_drop(icounts, sizes, budget, named)
    kept = set(places) - set(dropped)
    must = {*named, places[-1]}
    assert must <= kept
    assert list(dropped) == sorted(set(dropped))
    assert sum(sizes[place] for place in kept) <= budget or kept == must


@given(steps=steps)
@settings(max_examples=30, deadline=None)
def test_a_second_time_drops_nothing_more(steps: list[int]) -> None:
    icounts = list(accumulate(steps))
    dropped = to_drop(icounts, [1] * len(icounts), None)
    kept = [icount for place, icount in enumerate(icounts) if place not in dropped]
    assert to_drop(kept, [1] * len(kept), None) == ()


def test_one_gives_way_only_to_one_of_its_kind() -> None:
    icounts = [1000, 1001, 1002, 1003, 10**9]
    assert to_drop(icounts, [1] * 5, None) == (1, 2, 3)
    assert to_drop(icounts, [1] * 5, None, kinds=["cpu", "all", "cpu", "all", "all"]) == (2, 3)


def test_nothing_is_dropped_of_nothing() -> None:
    assert to_drop([], [], None) == ()
    assert to_drop([7], [10**9], 0) == ()


def test_a_writer_stays_in_its_budget(tmp_path: Path) -> None:
    budget = 60_000
    writer, store = SnapshotWriter(tmp_path, RECORDING, budget), SnapshotStore(tmp_path, RECORDING)
    memory = plain(0, 8)
    writer.add(snapshot(1, label="first"), pages(memory), None)
    for number in range(2, 60):
        changes = plain(number, 2, first=8 + number % 4 * 2)
        memory |= changes
        writer.add(snapshot(number), pages(changes), number - 1)
        writer.thin()
        heads = store.list()
        assert sum(head.bytes for head in heads) <= budget
        assert {1, number} <= {head.number for head in heads}
    assert 3 < len(store.list()) < 58
    assert loaded(store, 59) == memory
    assert loaded(store, 1) == plain(0, 8)


def test_the_one_that_somebody_wants_now_stays(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, RECORDING)
    for number, icount in enumerate((0, 10**12, 5), 1):
        writer.add(snapshot(number, icount=icount), (), None)
    assert writer.thin(keep=(3,)) == ()
    assert writer.thin() == (3,)
