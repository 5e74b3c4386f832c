"""Whatever happens to a file of the snapshots, nobody gets wrong pages: it is refused by its name."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from machine.errors import DamagedSnapshot, SnapshotError, StateError
from machine.recording.snapshots.files import files_of
from machine.recording.snapshots.pack import MAGIC, Pack
from machine.recording.snapshots.pagemap import PageMap
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from tests.unit.machine.snapshots.scenes import OTHER, RECORDING, Memory, files, loaded, pages, plain, snapshot

PAGES = 8
OLD = {n: bytes([n, 1]) * 2048 for n in range(4)}
CHANGES = {n: bytes([n, 2]) * 2048 for n in range(2)}
MEMORIES = {1: OLD, 2: {**OLD, **CHANGES}}
NEEDERS = {"00000001.snapshot": {1}, "00000002.snapshot": {2}, "00000001.pages": {1, 2}, "00000002.pages": {2}}
"""Which snapshots a file belongs to."""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    writer = SnapshotWriter(tmp_path, RECORDING)
    writer.add(snapshot(1, memory_pages=PAGES), pages(OLD), None)
    writer.add(snapshot(2, memory_pages=PAGES), pages(CHANGES), 1)
    return tmp_path


def check(recording: Path, name: str) -> tuple[int, int]:
    """Load everything: right, or refused by the name of the damaged file; how many of each there were."""
    store = SnapshotStore(recording, RECORDING)
    right = refused = 0
    for number, memory in MEMORIES.items():
        told = refusal(store, number, memory)
        if told:
            assert number in NEEDERS[name], "others are not harmed"
            assert str(recording / "snapshots" / name) in told
            assert "\n" not in told
            refused += 1
        else:
            right += 1
    listed = {head.number for head in store.list()}
    assert listed | NEEDERS[name] == {1, 2}
    assert bool(store.damage) == (len(listed) < 2)
    return right, refused


def refusal(store: SnapshotStore, number: int, memory: Memory) -> str:
    """Why a snapshot cannot be loaded; "" if it can, and then it is right."""
    try:
        found = loaded(store, number, PAGES)
    except SnapshotError as error:
        return str(error)
    assert found == memory
    return ""


@pytest.mark.parametrize("name", sorted(NEEDERS))
def test_a_file_that_is_cut_anywhere_is_refused_by_name(recording: Path, name: str) -> None:
    path = recording / "snapshots" / name
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        right, refused = check(recording, name)
        assert (right, refused) == (2 - len(NEEDERS[name]), len(NEEDERS[name])), size
    path.write_bytes(whole + b"\0")
    assert check(recording, name)[1] == len(NEEDERS[name])


@pytest.mark.parametrize("name", sorted(NEEDERS))
def test_a_bit_that_flips_anywhere_is_refused_or_changes_nothing(recording: Path, name: str) -> None:
    path = recording / "snapshots" / name
    whole = path.read_bytes()
    harmless = []
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        right, _ = check(recording, name)
        if right == 2:
            harmless.append(at)
    # zstd has a few bits that mean nothing; a snapshot's own file has none.
    assert len(harmless) < (10 if name.endswith(".pages") else 1)


@pytest.mark.parametrize("name", sorted(NEEDERS))
def test_a_file_that_is_gone_is_named(recording: Path, name: str) -> None:
    (recording / "snapshots" / name).unlink()
    store = SnapshotStore(recording, RECORDING)
    store.list()
    for number in NEEDERS[name]:
        with pytest.raises(SnapshotError, match=r"is missing|are missing|there is no snapshot"):
            loaded(store, number, PAGES)


def test_files_in_each_others_places_are_refused(recording: Path) -> None:
    folder = recording / "snapshots"
    for kind in ("snapshot", "pages"):
        one, two = folder / f"00000001.{kind}", folder / f"00000002.{kind}"
        first, second = one.read_bytes(), two.read_bytes()
        two.write_bytes(first)
        with pytest.raises(DamagedSnapshot, match=re.escape(str(two))):
            loaded(SnapshotStore(recording, RECORDING), 2, PAGES)
        one.write_bytes(first)
        two.write_bytes(second)
    assert loaded(SnapshotStore(recording, RECORDING), 2, PAGES) == MEMORIES[2]


def test_other_pages_of_another_recording_or_snapshot_of_the_same_number_are_refused(
    recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for id_, memory in ((OTHER, plain(9, 4)), (RECORDING, plain(9, 4))):
        other = tmp_path_factory.mktemp("other")
        state = snapshot(1, memory_pages=PAGES)
        state.recording = id_
        SnapshotWriter(other, id_).add(state, pages(memory), None)
        path = recording / "snapshots/00000001.pages"
        path.write_bytes((other / "snapshots/00000001.pages").read_bytes())
        with pytest.raises(DamagedSnapshot):
            loaded(SnapshotStore(recording, RECORDING), 1, PAGES)


def frame_of(recording: Path) -> bytes:
    """The only frame of a recording's pack 1."""
    with Pack(recording / "snapshots", 1) as pack:
        ((size, _, _),) = pack._directory.frames
        return pack._read(len(MAGIC), size)


def test_a_good_frame_in_the_place_of_another_is_refused(
    recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, here = recording / "snapshots/00000001.pages", frame_of(recording)
    there = here
    for byte in range(2, 256):
        other = tmp_path_factory.mktemp("other")
        twins = {page: bytes([page, byte]) * 2048 for page in OLD}
        SnapshotWriter(other, RECORDING).add(snapshot(1, memory_pages=PAGES), pages(twins), None)
        there = frame_of(other)
        # Of another size it would not fit the index.
        if len(there) == len(here):
            break
    assert there != here
    path.write_bytes(path.read_bytes().replace(here, there))
    with pytest.raises(DamagedSnapshot, match=re.escape(f"{path}: frame 0 is another one, or damaged")):
        loaded(SnapshotStore(recording, RECORDING), 1, PAGES)


def test_what_is_damaged_is_left_out_told_and_can_be_deleted(recording: Path) -> None:
    path = recording / "snapshots/00000001.snapshot"
    path.write_bytes(path.read_bytes()[:-1])
    store, writer = SnapshotStore(recording, RECORDING), SnapshotWriter(recording, RECORDING)
    assert [head.number for head in store.list()] == [2]
    assert store.damage == (f"{path}: the snapshot is damaged: its digest is another; delete it",)
    assert writer.add(snapshot(0, icount=5, memory_pages=PAGES), pages(plain(5, 1)), 2).number == 3
    writer.delete(1)
    again = SnapshotStore(recording, RECORDING)
    assert [head.number for head in again.list()] == [3, 2]
    assert again.damage == ()
    assert loaded(store, 2, PAGES) == MEMORIES[2]


def test_a_page_that_is_damaged_does_not_spread_when_its_pack_is_written_anew(recording: Path) -> None:
    writer = SnapshotWriter(recording, RECORDING)
    writer.add(snapshot(3, memory_pages=PAGES), ((page, bytes(4096)) for page in (0, 1, 2)), 1)
    path = recording / "snapshots/00000001.pages"
    damaged = bytearray(path.read_bytes())
    damaged[20] ^= 255
    path.write_bytes(damaged)
    writer.delete(2)
    writer.delete(1)
    with pytest.raises(DamagedSnapshot, match=re.escape(f"{path}: frame 0 is damaged")):
        loaded(SnapshotStore(recording, RECORDING), 3, PAGES)


def test_a_store_looks_again_at_what_has_changed(recording: Path) -> None:
    store = SnapshotStore(recording, RECORDING)
    assert len(store.list()) == 2
    path = recording / "snapshots/00000002.pages"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert [head.number for head in store.list()] == [1]
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))
    assert len(store.list()) == 2


def test_other_files_are_not_looked_at(recording: Path) -> None:
    folder = recording / "snapshots"
    for name in ("00000009.snapshot.part", "notes.txt", "9.snapshot"):
        (folder / name).write_bytes(b"x")
    assert {number for number, _ in files_of(folder)} == {1, 2}
    assert len(SnapshotStore(recording, RECORDING).list()) == 2
    SnapshotWriter(recording, RECORDING).thin()
    assert "notes.txt" in files(recording)


@pytest.mark.parametrize(
    "columns",
    [
        (b"\0" * 4, "broken number"),
        (b"".join(n.to_bytes(4, "little") for n in (5, 5, 2, 2, 1, 1, 0, 9)), "run at page 5"),
        (b"".join(n.to_bytes(4, "little") for n in (5, 0, 1, 0)), "run at page 5"),
        (b"".join(n.to_bytes(4, "little") for n in (1023, 2, 1, 0)), "page 1024, behind the end"),
    ],
)
def test_a_page_map_that_cannot_be_is_refused(columns: tuple[bytes, str]) -> None:
    with pytest.raises(StateError, match=columns[1]):
        PageMap.decode(columns[0], 4 << 20)
    with suppress(StateError):
        assert PageMap.decode(b"", 0).pages == 0
