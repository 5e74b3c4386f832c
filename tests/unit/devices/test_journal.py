"""What a device leaves to its successor is there, whole, whenever it was left off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.journal import INPUTS_BYTES, RESULTS, Journal, Kept
from machine.errors import Divergence
from machine.message import BackendResult, HostEvent, HostInput

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = st.builds(HostInput, st.sampled_from(HostEvent), st.binary(max_size=300), st.integers(0, (1 << 64) - 1))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "j", new=True)


def reopened(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "j", new=False)


def test_a_new_journal_is_power_on(journal: Journal) -> None:
    assert journal.kept() == Kept()
    assert journal.last_input == 0
    assert journal.submitted_after(0) == []
    assert journal.read_again(0, 1, "dev0", 0) is None


@given(st.lists(st.tuples(st.binary(max_size=2000), st.binary(max_size=20)), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_the_newest_state_is_found(tmp_path_factory: pytest.TempPathFactory, states: list[tuple[bytes, bytes]]) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    journal = Journal(path, new=True)
    for number, (state, memory) in enumerate(states):
        kept = Kept(number + 5, state, memory, number, 2 * number, 7, bool(number % 2))
        journal.keep(kept)
        journal.read_made(number, b"x" * number)
        assert Journal(path, new=False).kept() == kept


@given(st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.binary(max_size=500)), max_size=20), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_what_was_read_is_read_again_up_to_where_it_ended(
    tmp_path_factory: pytest.TempPathFactory, reads: list[tuple[int, bytes]], keep_at: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    journal = Journal(path, new=True)
    for number, (address, data) in enumerate(reads):
        if number == keep_at:
            journal.keep(Kept(9, b"state", b"memory"))
        journal.read_made(address, data)
    again = Journal(path, new=False)
    for address, data in reads[keep_at if keep_at < len(reads) else 0 :]:
        assert again.read_again(address, len(data), "dev0", 1) == data
    assert again.read_again(0, 1, "dev0", 1) is None
    again.read_made(4, b"more")
    assert again.read_again(0, 1, "dev0", 1) is None


def test_who_looks_elsewhere_than_its_predecessor_has_diverged(journal: Journal, tmp_path: Path) -> None:
    journal.read_made(0x8000_0000, b"1234")
    with pytest.raises(Divergence, match=r"in dev0, dma_read: expected 4 bytes of memory at 0x80000000; actual 2"):
        reopened(tmp_path).read_again(0x8000_0000, 2, "dev0", 17)


@given(st.lists(INPUTS, max_size=40), st.integers(0, 41))
@settings(max_examples=50, deadline=None)
def test_inputs_behind_a_number_are_found_in_order(
    tmp_path_factory: pytest.TempPathFactory, inputs: list[HostInput], known: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    journal = Journal(path, new=True)
    for number, message in enumerate(inputs, 1):
        journal.submit(number, message)
    again = Journal(path, new=False)
    assert again.last_input == len(inputs)
    assert again.submitted_after(known) == list(enumerate(inputs, 1))[known:]


def test_old_inputs_give_way_and_the_newest_stay_whole(journal: Journal, tmp_path: Path) -> None:
    size = 100_003
    count = 3 * INPUTS_BYTES // size
    for number in range(1, count + 1):
        journal.submit(number, HostInput(HostEvent.DATA, bytes([number % 251]) * size, number))
    found = reopened(tmp_path).submitted_after(0)
    assert [number for number, _ in found] == list(range(count - len(found) + 1, count + 1))
    assert len(found) * size > INPUTS_BYTES // 2
    assert all(message.data == bytes([number % 251]) * size for number, message in found)


def test_what_the_host_made_of_an_output_is_known_until_many_others_have_followed(journal: Journal) -> None:
    journal.begin_output(1)
    assert (journal.begun, journal.result_of(1)) == (1, None)
    for number in range(1, RESULTS + 2):
        journal.end_output(number, BackendResult(number, number % 40))
    assert journal.result_of(1) is None
    assert journal.result_of(2) == BackendResult(2, 2)
    assert journal.result_of(RESULTS + 1) == BackendResult(RESULTS + 1, (RESULTS + 1) % 40)


def test_an_orderly_end_leaves_no_file(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    assert list(tmp_path.iterdir()) == []
