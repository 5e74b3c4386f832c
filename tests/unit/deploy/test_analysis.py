"""Recordings in parts, what is pure of it: the parts, their answers put together, coverage by symbol."""

from __future__ import annotations

import argparse
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.analysis.lcov import by_symbol, table, tracefile
from deploy.analysis.segments import (
    ANSWER_NS,
    INSTRUCTION_NS,
    LEAST_NS,
    LEAST_PART,
    MESSAGE_NS,
    MOST_NS,
    Measured,
    Work,
    counted,
    plan_segments,
    steadied,
    weights_of,
)
from deploy.commands import analyse
from machine.analysis.changes import Changes
from machine.analysis.coverage import Coverage, join
from machine.analysis.table import make_analysis
from machine.errors import UsageError
from tests.harness.machine import ROOT

stretches = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 40)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=20
)


@given(
    snapshots=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 99)), max_size=20),
    end=st.integers(1, 1000),
    weights=st.lists(st.integers(1, 64), min_size=1, max_size=8),
    beginning=st.integers(0, 2000),
)
def test_the_parts_are_the_whole_recording_and_begin_where_others_end(
    snapshots: list[tuple[int, int]], end: int, weights: list[int], beginning: int
) -> None:
    segments = plan_segments(snapshots, end, weights, beginning=beginning)
    assert len(segments) == min(len(weights), 1 + len({icount for icount, _ in snapshots if 0 < icount < end}))
    assert (segments[0].first, segments[0].start_icount) == (0, 0)
    assert (segments[-1].last, segments[-1].end_icount) == (0, end)
    for before, after in itertools.pairwise(segments):
        assert (before.last, before.end_icount) == (after.first, after.start_icount)
        assert (before.end_icount, before.last) in snapshots
        assert before.start_icount < before.end_icount < after.end_icount


def test_parts_are_about_as_long_as_each_other() -> None:
    segments = plan_segments([(icount, icount // 10) for icount in range(10, 1000, 10)], 1000, (1, 1, 1, 1))
    assert [segment.end_icount for segment in segments] == [250, 500, 750, 1000]


def test_who_has_much_to_do_has_the_last_of_it_in_small_parts() -> None:
    snapshots = [(icount, icount // 10) for icount in range(10, 700, 10)]
    segments = plan_segments(snapshots, 700, (4, 2, 1))
    assert [segment.end_icount for segment in segments] == [400, 600, 700]


@given(at_a_time=st.integers(2, 64), work=st.integers(0, 1 << 50))
def test_parts_get_smaller_and_stay_worth_their_beginning(at_a_time: int, work: int) -> None:
    weights = weights_of(at_a_time, work)
    assert list(weights) == sorted(weights, reverse=True)
    least, whole = weights[-1], sum(weights)
    # The last ones are the least, a part each, and neither too small nor twice as large as they need be.
    assert weights.count(least) == at_a_time
    assert least == 1
    assert len(weights) == at_a_time or work >= LEAST_PART * whole
    assert work < LEAST_PART * (2 * whole + at_a_time)
    assert weights_of(1, work) == (1,)


@given(first=stretches, second=stretches)
def test_coverage_of_parts_is_that_of_the_whole(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    whole = Coverage().combine([join(first), join(second)])
    assert whole == join(first + second)
    addresses = {address for start, end in first + second for address in range(start, end)}
    assert {address for start, end in whole for address in range(start, end)} == addresses
    assert all(one[1] < other[0] for one, other in itertools.pairwise(whole))


def test_coverage_is_laid_over_symbols() -> None:
    symbols = [(100, "first", 0), (120, "second", 0), (140, "never", 0)]
    found = by_symbol([[90, 104], [110, 130]], symbols)
    assert [(symbol.name, symbol.hit, symbol.size) for symbol in found] == [
        ("first", 7, 10), ("second", 5, 10), ("never", 0, 0),
    ]  # fmt: skip
    lines = list(tracefile("image", found))
    assert lines[:2] == ["TN:", "SF:image"]
    assert "FN:11,second" in lines
    assert "FNDA:0,never" in lines
    assert (lines.count("DA:1,1"), lines.count("DA:4,0"), lines[-1]) == (1, 1, "end_of_record")
    assert [line.split()[-1] for line in table(found)] == ["first", "second"]


def test_what_is_behind_a_symbol_that_says_its_size_is_not_of_it() -> None:
    symbols = [(100, "one", 8), (120, "overlapping", 1000), (140, "last", 4)]
    found = by_symbol([[90, 150]], symbols)
    assert [(symbol.hit, symbol.size) for symbol in found] == [(4, 4), (10, 10), (2, 2)]
    assert [symbol.size for symbol in by_symbol([], symbols)] == [4, 10, 2]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--symbols", "nowhere"), "nowhere: cannot read symbols"),
        (("--lcov", "no/where/x"), "no/where/x: cannot write"),
    ],
)
def test_what_the_answer_needs_is_looked_at_before_anything_is_replayed(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], complaint: str
) -> None:
    parser = argparse.ArgumentParser()
    analyse.configure(parser)
    monkeypatch.setattr("deploy.analysis.crew.Crew", lambda: pytest.fail("a replay has begun"))
    symbols = str(ROOT / "tests" / "guests" / "calls.elf")
    recording = str(ROOT / "tests" / "recordings" / "format-4.dejavm")
    with pytest.raises(UsageError, match=complaint):
        analyse.run(parser.parse_args([recording, "--symbols", symbols, *words]))


class Still:
    """A machine whose memory the test changes."""

    icount = 0
    memory = b"\0"

    def read(self, address: int, size: int) -> bytes:
        """The byte that there is."""
        return self.memory * size

    def cover(self) -> None:
        """Nothing runs."""

    def covered(self) -> list[tuple[int, int]]:
        """Nothing ran."""
        return []


def test_changes_are_told_with_the_looks_between_which_they_happened() -> None:
    machine, changes = Still(), Changes("0x80000000", "2")
    changes.begin(machine)
    for icount, memory in ((10, b"\0"), (20, b"\1"), (30, b"\1")):
        machine.icount, machine.memory = icount, memory
        changes.look(machine)
    machine.icount, machine.memory = 40, b"\2"
    rows = changes.end(machine)
    assert rows == [[10, 20, "0000", "0101"], [30, 40, "0101", "0202"]]
    assert changes.combine([rows, []]) == rows


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing",), "there is no analysis nothing"),
        (("machine.errors:UsageError",), "is no machine.analysis.base.Analysis"),
        (("changes",), "takes an ADDRESS"),
        (("changes", "here"), "invalid literal"),
        (("coverage", "more"), "takes no words"),
    ],
)
def test_an_analysis_that_cannot_be_made_says_why(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_analysis(words[0], words[1:])


def test_work_is_told_by_the_host_s_clock_without_what_was_waiting() -> None:
    second = 10**9
    # A million instructions in 10 ms, 10 million in 10 ms, a night between two messages, a million in another night.
    at = [(0, 0), (10**6, 10**7 + ANSWER_NS), (11 * 10**6, 2 * (10**7 + ANSWER_NS))]
    work = Work([*at, (11 * 10**6, 9 * second), (12 * 10**6, 99 * second)])
    done = [work.until(icount) for icount in (0, 500_000, 10**6, 6 * 10**6, 11 * 10**6, 12 * 10**6, 13 * 10**6)]
    first = 10**7 + MESSAGE_NS
    second_part = first + 10**7 + MESSAGE_NS
    third = second_part + MOST_NS * 10**6 + 2 * MESSAGE_NS
    assert done == [0, first // 2, first, (first + second_part) // 2, second_part, third, third + int(LEAST_NS * 10**6)]


def test_a_message_is_as_much_work_as_thousands_of_instructions() -> None:
    talking = [(icount, icount * 2000) for icount in range(0, 100_000, 100)]
    work = Work([*talking, (10**6, talking[-1][1] + ANSWER_NS + 10**6)])
    assert work.until(100_000) > 10 * (work.until(10**6) - work.until(100_000))


@given(moments=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), max_size=20))
def test_work_never_becomes_less(moments: list[tuple[int, int]]) -> None:
    icounts, clock = zip(*moments, strict=True) if moments else ((), ())
    work = Work(zip(sorted(icounts), clock, strict=True))
    done = [work.until(icount) for icount in range(0, 10**6, 9973)]
    assert done == sorted(done)


def test_work_in_a_long_log_is_told_by_how_many_messages_are_in_front_of_each_snapshot() -> None:
    # A cut: it begins behind a million instructions and 500 messages.  Two snapshots of one sleep say 700 and 900.
    million = 10**6
    behind = [(3 * million, 700), (3 * million, 900), (4 * million, 1700), (5 * million, 1700)]
    work = counted((million, 500), behind)
    instructions = int(INSTRUCTION_NS * million)
    done = [work.until(icount) for icount in (0, million, 2 * million, 3 * million, 4 * million, 5 * million)]
    messages = [0, 0, 100, 200, 1200, 1200]
    assert done == [
        MESSAGE_NS * count + instructions * behind for count, behind in zip(messages, (0, *range(5)), strict=True)
    ]


@given(rows=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**6)), max_size=10))
def test_counted_work_never_becomes_less_whatever_snapshots_say(rows: list[tuple[int, int]]) -> None:
    work = counted((0, 0), rows)
    done = [work.until(icount) for icount in range(1100)]
    assert done == sorted(done)
    assert done[0] == 0


def test_work_that_a_replay_has_measured_is_shared_out_between_as_another_measure_says() -> None:
    # The other measure says that the second hundred is three times the first, and all behind it the same again.
    work = Measured([(200, 1000), (100, 400)], lambda icount: icount + 2 * max(0, min(icount, 200) - 100))
    done = [work.until(icount) for icount in (0, 50, 100, 150, 200, 300, 400)]
    assert done == [0, 200, 400, 700, 1000, 1250, 1500]


@given(
    measured=st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 10**6)), max_size=10),
    grain=st.integers(1, 400),
)
def test_measured_work_never_becomes_less_whatever_two_replays_have_measured(
    measured: list[tuple[int, int]], grain: int
) -> None:
    work = Measured(measured, lambda icount: icount // grain * 7)
    done = [work.until(icount) for icount in range(1100)]
    assert done == sorted(done)
    assert done[0] == 0


def test_what_a_neighbour_held_up_while_it_was_measured_is_not_taken_for_work() -> None:
    icounts = range(100, 900, 100)
    snapshots = [(icount, icount // 100) for icount in icounts]
    quiet = list(zip(icounts, itertools.accumulate([100, 300, 200, 200, 100, 100, 100, 100]), strict=True))
    held_up = list(zip(icounts, itertools.accumulate([150, 480, 320, 200, 100, 100, 100, 100]), strict=True))
    foretold = Measured(quiet, int).until

    def cut(measured: list[tuple[int, int]]) -> int:
        return plan_segments(snapshots, 800, (1, 1), Measured(measured, foretold).until)[0].end_icount

    assert steadied(quiet, foretold) == quiet
    assert cut(quiet) == cut(steadied(held_up, foretold)) == 300
    assert cut(held_up) == 200
    # Nine times as much is no neighbour's.
    hard = [(icount, work + 800 * (icount >= 100)) for icount, work in quiet]
    assert steadied(hard, foretold) == hard


@given(
    took=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10**6)), max_size=10),
    grain=st.integers(1, 400),
)
def test_of_what_was_measured_nothing_is_added_to_any_stretch(took: list[tuple[int, int]], grain: int) -> None:
    measured = [
        (sum(icount for icount, _ in took[:to]), sum(work for _, work in took[:to])) for to in range(1, len(took) + 1)
    ]
    believed = steadied(measured, lambda icount: icount // grain * 7)
    assert [icount for icount, _ in believed] == sorted({icount for icount, _ in believed})
    before = before_measured = 0
    for icount, work in believed:
        assert 0 <= work - before <= dict(measured)[icount] - before_measured
        before, before_measured = work, dict(measured)[icount]


def test_parts_are_about_as_much_work_as_each_other() -> None:
    snapshots = [(icount, icount // 100) for icount in range(100, 1000, 100)]
    segments = plan_segments(snapshots, 1000, (1, 1), lambda icount: min(icount, 300) * 9 + max(0, icount - 300))
    assert [segment.end_icount for segment in segments] == [200, 1000]


def test_a_part_that_begins_at_a_snapshot_is_given_less_for_it() -> None:
    snapshots = [(icount, icount // 10) for icount in range(10, 1000, 10)]
    segments = plan_segments(snapshots, 1000, (1, 1, 1), beginning=100)
    # 1200 of work, 400 each.
    assert [segment.end_icount for segment in segments] == [400, 700, 1000]
