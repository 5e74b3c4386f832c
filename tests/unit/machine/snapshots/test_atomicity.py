"""A snapshot is there whole or not at all: for who reads meanwhile, after a kill, on a full disk."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from machine.errors import LogError, MissingSnapshot
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from tests.unit.machine.snapshots.scenes import RECORDING, Memory, files, loaded, pages, plain, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Act = Callable[[], object]

FIRST: Memory = plain(1, 600)
CHANGES: Memory = plain(2, 300)
SECOND: Memory = {**FIRST, **CHANGES}


class Camera:
    """Takes a picture of a directory at every moment at which a kill would leave something else."""

    def __init__(self, directory: Path, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._album = album
        self.pictures: list[Path] = []
        write = os.write

        def write_in_halves(fd: int, data: memoryview) -> int:
            half = write(fd, bytes(data[: len(data) // 2]))
            self._take()
            return half + write(fd, bytes(data[half:]))

        monkeypatch.setattr("machine.recording.snapshots.part.os.write", write_in_halves)
        for name in ("rename", "unlink"):
            monkeypatch.setattr(Path, name, self._between(getattr(Path, name)))

    def _between(self, function: Callable[..., object]) -> Callable[..., object]:
        def act(*arguments: object, **options: object) -> object:
            self._take()
            done = function(*arguments, **options)
            self._take()
            return done

        return act

    def _take(self) -> None:
        picture = self._album / str(len(self.pictures))
        shutil.copytree(self._directory, picture)
        self.pictures.append(picture)


def memories(recording: Path) -> dict[int, Memory]:
    """The memory of every snapshot that a reader sees; nothing is damaged."""
    store = SnapshotStore(recording, RECORDING)
    heads = store.list()
    assert store.damage == ()
    return {head.number: loaded(store, head.number) for head in heads}


def scene(recording: Path) -> SnapshotWriter:
    """A recording with one snapshot."""
    writer = SnapshotWriter(recording, RECORDING)
    writer.add(snapshot(1), pages(FIRST), None)
    return writer


def add_second(writer: SnapshotWriter) -> Act:
    return lambda: writer.add(snapshot(2), pages(CHANGES), 1)


def test_a_kill_while_adding_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, album = tmp_path / "r", tmp_path / "album"
    recording.mkdir()
    writer = scene(recording)
    with monkeypatch.context() as patch:
        camera = Camera(recording, album, patch)
        writer.add(snapshot(2), pages(CHANGES), 1)
    old, new = {1: FIRST}, {1: FIRST, 2: SECOND}
    seen = [memories(picture) for picture in camera.pictures]
    assert all(picture in (old, new) for picture in seen)
    assert seen == sorted(seen, key=len), "once it is there it stays"
    assert {len(picture) for picture in seen} == {1, 2}
    assert len(seen) > 8


def test_the_next_writer_cleans_up_behind_a_killed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, album = tmp_path / "r", tmp_path / "album"
    recording.mkdir()
    writer = scene(recording)
    with monkeypatch.context() as patch:
        camera = Camera(recording, album, patch)
        writer.add(snapshot(2), pages(CHANGES), 1)
    for picture in camera.pictures:
        before = memories(picture)
        SnapshotWriter(picture, RECORDING).add(snapshot(0, icount=1), pages(CHANGES), 1)
        after = memories(picture)
        assert after == {**before, max(before) + 1: SECOND}
        names = {f"{number:08}.snapshot" for number in after} | {"00000001.pages", "00000002.pages"}
        assert set(files(picture)) == names


def test_a_kill_while_deleting_and_rewriting_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, album = tmp_path / "r", tmp_path / "album"
    recording.mkdir()
    writer = scene(recording)
    changes = plain(3, 400)
    writer.add(snapshot(2), pages(changes), 1)
    third = {**FIRST, **changes}
    with monkeypatch.context() as patch:
        camera = Camera(recording, album, patch)
        writer.delete(1)
    seen = [memories(picture) for picture in camera.pictures]
    assert all(picture in ({1: FIRST, 2: third}, {2: third}) for picture in seen)
    assert {len(picture) for picture in seen} == {1, 2}
    assert len(seen) > 6, "the pack was written anew"
    for picture in camera.pictures:
        SnapshotWriter(picture, RECORDING).thin()
        assert not [name for name in files(picture) if name.endswith(".part")]
        assert memories(picture)[2] == third


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The host refuses files of more bytes, as it would without room (setrlimit(2), RLIMIT_FSIZE)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 300, 500, 5000, 20_000])
def test_what_does_not_fit_on_the_disk_leaves_nothing_behind(tmp_path: Path, size: int) -> None:
    writer = scene(tmp_path)
    before = files(tmp_path)
    with largest_file(size), pytest.raises(LogError, match=r"cannot write the snapshot: File too large$"):
        writer.add(snapshot(2), pages(CHANGES), 1)
    assert files(tmp_path) == before
    writer.add(snapshot(2), pages(CHANGES), 1)
    assert memories(tmp_path) == {1: FIRST, 2: SECOND}


def test_pages_that_cannot_be_read_leave_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[int, bytes]]:
        yield from pages(CHANGES)
        raise OSError(errno.EIO, "Input/output error")

    writer = scene(tmp_path)
    before = files(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        writer.add(snapshot(2), broken(), 1)
    assert files(tmp_path) == before
    writer.add(snapshot(2), pages(CHANGES), 1)
    assert memories(tmp_path) == {1: FIRST, 2: SECOND}


def test_a_pack_that_cannot_be_written_anew_stays_as_it_is(tmp_path: Path) -> None:
    writer = scene(tmp_path)
    changes = plain(3, 400)
    writer.add(snapshot(2), pages(changes), 1)
    before = files(tmp_path)
    with largest_file(0):
        writer.delete(1)
    del before["00000001.snapshot"]
    assert files(tmp_path) == before
    assert memories(tmp_path) == {2: {**FIRST, **changes}}


def test_a_place_where_nobody_may_write_is_named(tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_bytes(b"")
    with pytest.raises(LogError, match=r"snapshots: cannot keep snapshots here: (File exists|Not a directory)"):
        SnapshotWriter(tmp_path, RECORDING).add(snapshot(1), (), None)


def test_who_reads_while_others_write_sees_whole_snapshots_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that lives on looks at every moment; what it has listed once it may find gone, never wrong."""
    writer, store = scene(tmp_path), SnapshotStore(tmp_path, RECORDING)
    expected = {1: FIRST}
    looks: list[int] = []

    def look(function: Callable[..., object]) -> Callable[..., object]:
        def act(*arguments: object, **options: object) -> object:
            done = function(*arguments, **options)
            heads = store.list()
            assert store.damage == ()
            for head in heads:
                assert loaded(store, head.number) == expected[head.number]
            looks.append(len(heads))
            return done

        return act

    monkeypatch.setattr(Path, "rename", look(Path.rename))
    monkeypatch.setattr(Path, "unlink", look(Path.unlink))
    for number in range(2, 8):
        changes = plain(number, 150, first=number * 60)
        expected[number] = {**expected[number - 1], **changes}
        writer.add(snapshot(number), pages(changes), number - 1)
        if number > 3:
            writer.delete(number - 2)
    assert set(looks) == {1, 2, 3, 4}


def test_a_snapshot_that_is_deleted_while_it_is_loaded_is_missing_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(tmp_path)
    store = SnapshotStore(tmp_path, RECORDING)
    open_pack = SnapshotStore._open

    def deleted_first(store: SnapshotStore, pack: int) -> object:
        SnapshotWriter(tmp_path, RECORDING).delete(1)
        return open_pack(store, pack)

    monkeypatch.setattr(SnapshotStore, "_open", deleted_first)
    with pytest.raises(MissingSnapshot, match="there is no snapshot 1"):
        loaded(store, 1)
