"""What is written into a recording's snapshots is what is read from them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.errors import ForeignSnapshot, MissingSnapshot, SnapshotError, StateError
from machine.recording.snapshots import inventory, packing
from machine.recording.snapshots.files import SnapshotFile, read_file
from machine.recording.snapshots.pack import quick_hashes
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from tests.unit.machine.snapshots.scenes import (
    MEMORY_PAGES,
    OTHER,
    RECORDING,
    Memory,
    files,
    loaded,
    memories,
    pages,
    plain,
    seen,
    snapshot,
)


@given(memory=memories)
@settings(max_examples=40, deadline=None)
def test_a_snapshot_comes_back_with_its_memory(memory: Memory) -> None:
    with tempfile.TemporaryDirectory() as name:
        head = SnapshotWriter(Path(name), RECORDING).add(snapshot(1, label="here"), pages(memory), None)
        store = SnapshotStore(Path(name), RECORDING)
        assert store.list() == (head,)
        assert store.read(1) == snapshot(1, label="here")
        assert loaded(store, 1) == seen(memory)
        assert head.pages == len(seen(memory))


@given(steps=st.lists(st.tuples(memories, st.booleans()), min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_base_with_changes_is_the_same_as_the_whole(steps: list[tuple[Memory, bool]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        writer, store = SnapshotWriter(Path(name), RECORDING), SnapshotStore(Path(name), RECORDING)
        states: dict[int, Memory] = {}
        for number, (changes, anew) in enumerate(steps, 1):
            base = data.draw(st.sampled_from(sorted(states))) if states else None
            states[number] = {**states.get(base or 0, {}), **changes}
            if anew or base is None:
                writer.add(snapshot(number), pages(states[number]), None)
            else:
                writer.add(snapshot(number), pages(changes), base)
        gone = data.draw(st.sets(st.sampled_from(sorted(states))))
        for number in sorted(gone):
            writer.delete(number)
        assert [head.number for head in store.list()] == sorted(states.keys() - gone)
        assert store.damage == ()
        for number in states.keys() - gone:
            assert loaded(store, number) == seen(states[number])
        again = SnapshotWriter(Path(name), RECORDING)
        again.add(snapshot(100), pages(states[1]), None)
        assert loaded(store, 100) == seen(states[1])
        assert sum(head.bytes for head in store.list()) == sum(map(len, files(Path(name)).values()))


def test_a_page_that_is_there_is_not_kept_twice(tmp_path: Path) -> None:
    memory = plain(1, 600)
    first = SnapshotWriter(tmp_path, RECORDING).add(snapshot(1), pages(memory), None)
    moved = {page + 100: data for page, data in memory.items()}
    second = SnapshotWriter(tmp_path, RECORDING).add(snapshot(2), pages(moved), None)
    assert [name for name in sorted(files(tmp_path)) if name.endswith(".pages")] == ["00000001.pages"]
    assert second.bytes < 2000 < first.bytes
    assert loaded(SnapshotStore(tmp_path, RECORDING), 2) == moved


def test_one_content_in_many_pages_is_kept_once(tmp_path: Path) -> None:
    page = plain(1, 1)[0]
    SnapshotWriter(tmp_path, RECORDING).add(snapshot(1), ((n, page) for n in range(MEMORY_PAGES)), None)
    assert sum(map(len, files(tmp_path).values())) < 20_000
    assert loaded(SnapshotStore(tmp_path, RECORDING), 1) == dict.fromkeys(range(MEMORY_PAGES), page)


def test_a_page_that_becomes_zero_again_is_no_page(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, RECORDING)
    writer.add(snapshot(1), pages(plain(1, 9)), None)
    zeros = {3: bytes(PAGE_BYTES), 8: bytes(PAGE_BYTES), 500: bytes(PAGE_BYTES)}
    assert writer.add(snapshot(2), ((n, memoryview(data)) for n, data in zeros.items()), 1).pages == 7
    assert loaded(SnapshotStore(tmp_path, RECORDING), 2).keys() == {0, 1, 2, 4, 5, 6, 7}


def test_the_nearest_is_the_last_before_that_has_the_nodes(tmp_path: Path) -> None:
    writer, store = SnapshotWriter(tmp_path, RECORDING), SnapshotStore(tmp_path, RECORDING)
    for number, icount, nodes in ((1, 500, "cpu"), (2, 900, "cpu serial0 rtc0"), (3, 700, "cpu"), (4, 900, "serial0")):
        writer.add(snapshot(number, icount=icount, nodes=nodes, label="x" if number < 3 else ""), (), None)
    assert [head.number for head in store.list()] == [1, 3, 2, 4]

    def found(icount: int, *nodes: str) -> int:
        head = store.nearest(icount, nodes) if nodes else store.nearest(icount)
        return head.number if head else 0

    assert [found(icount) for icount in (499, 500, 699, 700, 899, 900, 10**15)] == [0, 1, 1, 3, 3, 2, 2]
    assert (found(899, "cpu", "serial0"), found(900, "rtc0", "cpu"), found(900, "serial0")) == (0, 2, 4)
    writer.add(snapshot(5, icount=950, front=False), (), None)
    assert [found(icount) for icount in (949, 950, 951)] == [2, 2, 5]
    named = store.named("x")
    assert named is not None
    assert named.number == 2
    assert store.named("y") is None


def test_number_0_is_the_next_one_and_a_number_that_is_taken_is_refused(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, RECORDING)
    assert [writer.add(snapshot(0, icount=5), (), None).number for _ in range(3)] == [1, 2, 3]
    before = files(tmp_path)
    with pytest.raises(SnapshotError, match="there is or was a snapshot 2; the next is 4"):
        SnapshotWriter(tmp_path, RECORDING).add(snapshot(2), (), None)
    assert files(tmp_path) == before


def test_no_number_is_given_twice_whoever_deletes_and_whoever_asks(tmp_path: Path) -> None:
    """Somebody may still mean the old one: a machine that knows what has changed since then."""
    one = SnapshotWriter(tmp_path, RECORDING)
    one.add(snapshot(0), pages(plain(1, 4)), None)
    for number in range(1, 5):
        SnapshotWriter(tmp_path, RECORDING).delete(number)
        assert SnapshotWriter(tmp_path, RECORDING).add(snapshot(0), (), None).number == number + 1
    with pytest.raises(MissingSnapshot, match="no whole snapshot 1 to build on"):
        one.add(snapshot(0), (), 1)


def test_another_recordings_snapshot_is_refused_and_both_ids_are_shown(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, RECORDING)
    writer.add(snapshot(1), pages(plain(1, 3)), None)
    store = SnapshotStore(tmp_path, OTHER)
    for refused in (lambda: store.read(1), lambda: loaded(store, 1)):
        with pytest.raises(ForeignSnapshot, match=f"of recording {RECORDING}, and this is recording {OTHER}"):
            refused()
    assert store.list() == ()
    assert len(store.damage) == 1
    with pytest.raises(ForeignSnapshot, match=f"of recording {RECORDING} does not belong in recording {OTHER}"):
        SnapshotWriter(tmp_path, OTHER).add(snapshot(2), (), None)
    assert loaded(SnapshotStore(tmp_path, RECORDING), 1) == plain(1, 3)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    store, writer = SnapshotStore(tmp_path, RECORDING), SnapshotWriter(tmp_path, RECORDING)
    assert (store.list(), store.damage, store.nearest(5)) == ((), (), None)
    writer.add(snapshot(1), (), None)
    for refused in (
        lambda: store.read(7),
        lambda: store.load_memory(7, memoryview(b"")),
        lambda: writer.delete(7),
        lambda: writer.add(snapshot(8), (), 7),
    ):
        with pytest.raises(MissingSnapshot, match=f"{tmp_path}.*snapshot 7"):
            refused()


def test_a_memory_of_another_size_is_refused(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, RECORDING)
    writer.add(snapshot(1), (), None)
    with pytest.raises(StateError, match="of 4194304 bytes of memory, this machine has 4096"):
        SnapshotStore(tmp_path, RECORDING).load_memory(1, memoryview(bytearray(4096)))
    smaller = snapshot(2)
    smaller.memory //= 2
    with pytest.raises(StateError, match="snapshot 1 is of 4194304 bytes of memory, the new one of 2097152"):
        writer.add(smaller, (), 1)
    with pytest.raises(StateError, match="page 512, behind the end of memory"):
        writer.add(smaller, pages(plain(1, 1, first=512)), None)
    assert sorted(files(tmp_path)) == ["00000001.snapshot"]


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    SnapshotWriter(tmp_path, RECORDING).add(snapshot(1), pages(plain(1, 3)), None)
    folder = tmp_path / "snapshots"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_pages_go_with_the_last_snapshot_that_needs_them(tmp_path: Path) -> None:
    writer, store = SnapshotWriter(tmp_path, RECORDING), SnapshotStore(tmp_path, RECORDING)
    memory = plain(1, 1000)
    writer.add(snapshot(1), pages(memory), None)
    whole = (tmp_path / "snapshots/00000001.pages").stat().st_size
    changes = plain(2, 400)
    writer.add(snapshot(2), pages(changes), 1)
    writer.delete(1)
    assert (tmp_path / "snapshots/00000001.pages").stat().st_size == whole, "more than half is needed"
    more = plain(3, 200, first=400)
    writer.add(snapshot(3), pages(more), 2)
    writer.delete(2)
    assert (tmp_path / "snapshots/00000001.pages").stat().st_size < whole / 2
    assert loaded(store, 3) == {**memory, **changes, **more}
    writer.delete(3)
    writer.close()
    assert files(tmp_path) == {}


def test_a_content_that_was_thrown_away_can_come_again(tmp_path: Path) -> None:
    writer, store = SnapshotWriter(tmp_path, RECORDING), SnapshotStore(tmp_path, RECORDING)
    memory = plain(1, 1000)
    writer.add(snapshot(1), pages(memory), None)
    writer.add(snapshot(2), ((page, bytes(PAGE_BYTES)) for page in range(300, 1000)), 1)
    writer.delete(1)
    writer.add(snapshot(3), pages(memory), 2)
    assert loaded(store, 3) == memory
    assert loaded(store, 2) == {page: memory[page] for page in range(300)}
    assert store.damage == ()


def test_two_writers_of_one_recording_see_each_other(tmp_path: Path) -> None:
    one, other = SnapshotWriter(tmp_path, RECORDING), SnapshotWriter(tmp_path, RECORDING)
    one.add(snapshot(0, icount=1), pages(plain(1, 50)), None)
    other.add(snapshot(0, icount=2), pages(plain(2, 10)), 1)
    one.delete(1)
    one.add(snapshot(0, icount=3), pages(plain(1, 50)), None)
    store = SnapshotStore(tmp_path, RECORDING)
    assert [(head.number, head.icount) for head in store.list()] == [(2, 2), (3, 3)]
    assert loaded(store, 2) == {**plain(1, 50), **plain(2, 10)}
    assert loaded(store, 3) == plain(1, 50)


def test_a_writer_reads_each_snapshot_of_another_s_once(tmp_path: Path) -> None:
    read: list[int] = []

    def counted(folder: Path, number: int, recording: str) -> SnapshotFile:
        read.append(number)
        return read_file(folder, number, recording)

    writers = [SnapshotWriter(tmp_path, RECORDING), SnapshotWriter(tmp_path, RECORDING)]
    with patch.object(inventory, "read_file", counted):
        for number in range(1, 21):
            writers[number % 2].add(snapshot(number), pages(plain(number % 3, 50)), None)
        writers[1].look()
        writers[0].look()
    assert read == list(range(1, 21))


def test_pages_that_a_killed_writer_has_left_go_also_where_the_folder_was_known(tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path, RECORDING)
    writer.add(snapshot(1), pages(plain(1, 50)), None)
    folder = tmp_path / "snapshots"
    left = folder / "00000002.pages"
    left.write_bytes((folder / "00000001.pages").read_bytes())
    writer.look()
    assert not left.exists()
    assert loaded(SnapshotStore(tmp_path, RECORDING), 1) == plain(1, 50)


def test_a_number_that_another_writer_has_given_and_taken_back_is_not_given_again(tmp_path: Path) -> None:
    one, other = SnapshotWriter(tmp_path, RECORDING), SnapshotWriter(tmp_path, RECORDING)
    one.add(snapshot(0, icount=1), pages(plain(1, 50)), None)
    other.add(snapshot(0, icount=2), pages(plain(2, 10)), 1)
    one.add(snapshot(0, icount=3), pages(plain(3, 10)), 1)
    one.delete(3)
    # The other finds the folder as it has left it.
    assert other.add(snapshot(0, icount=4), pages(plain(4, 10)), 1).number == 4
    # Who wants to build on it hears that it has gone, and does not build on another.
    with pytest.raises(MissingSnapshot):
        one.add(snapshot(0, icount=5), pages(plain(5, 10)), 3)


def no_quick_hashes(_: object) -> bytes:
    """As packs were written before there were any."""
    return b""


@given(memory=memories, changes=memories, quick=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_first_page_that_is_not_as_in_a_snapshot_is_found(memory: Memory, changes: Memory, quick: bool) -> None:
    now = {**memory, **changes}
    other = {page for page in now if seen(memory).get(page) != seen(now).get(page)}
    there = bytearray(MEMORY_PAGES * PAGE_BYTES)
    for page, data in now.items():
        there[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = data
    with tempfile.TemporaryDirectory() as name:
        with patch.object(packing, "quick_hashes", quick_hashes if quick else no_quick_hashes):
            SnapshotWriter(Path(name), RECORDING).add(snapshot(1), pages(memory), None)
        store = SnapshotStore(Path(name), RECORDING)
        for touched in ([(page * PAGE_BYTES, (page + 1) * PAGE_BYTES) for page in sorted(now)], [(0, len(there))]):
            assert store.differing(1, memoryview(there), touched) == min(other, default=None)
