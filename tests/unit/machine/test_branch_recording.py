"""A branch's recording: it goes on behind its parent's messages, and says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from machine.errors import CorruptRecord, LogError, UsageError
from machine.recording.chain import Chain
from machine.recording.facts import Parent
from machine.recording.layout import BASE_LABEL, LOG_NAME, MACHINE_NAME
from machine.recording.place import Place
from machine.recording.reader import Recording
from machine.recording.snapshots.adoption import adopt
from machine.recording.snapshots.files import pack_path
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write
from tests.unit.machine.snapshots.scenes import pages, plain, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from machine.recording.facts import Facts

CUT = 4
"""The branch begins behind this message."""
ID = "11" * 16


def branch_of(parent: Recording) -> Facts:
    """The facts of a branch behind message CUT."""
    point = parent.point(lambda frame: frame.seq <= CUT)
    icount = FRAMES[CUT - 1].icount
    origin = Parent(parent.facts.id, str(parent.path), icount, icount, CUT, point.inputs, point.chain, 500, 1)
    return replace(FACTS, id=ID, parent=origin)


@pytest.fixture
def child(tmp_path: Path) -> Recording:
    """A branch in which everything goes on as in its parent."""
    parent = Recording.open(write(tmp_path / "parent", FRAMES))
    writer = RecordingWriter(tmp_path / "child", BOARD, branch_of(parent))
    for frame in FRAMES[CUT:]:
        writer.append(frame, 0)
    writer.finish()
    return Recording.open(tmp_path / "child")


def test_a_branch_that_goes_on_as_its_parent_comes_to_the_same(child: Recording) -> None:
    parent = Recording.open(child.path.parent / "parent")
    assert tuple(child.frames()) == FRAMES[CUT:]
    summary, whole = child.summary(), parent.summary()
    assert (summary.digest, summary.instructions, summary.virtual_ns) == (
        whole.digest, whole.instructions, whole.virtual_ns,
    )  # fmt: skip
    assert summary.messages == len(FRAMES) - CUT
    assert (child.messages, child.inputs, child.end_icount) == (parent.messages, parent.inputs, parent.end_icount)
    assert child.clean_end


def test_a_branch_without_an_end_is_counted_from_its_beginning(child: Recording, tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "cut", BOARD, child.facts)
    writer.append(FRAMES[CUT], 0)
    writer.mark()
    writer.abandon()
    cut = Recording.open(tmp_path / "cut")
    assert (cut.messages, cut.end_icount, cut.clean_end) == (CUT + 1, FRAMES[CUT].icount, False)
    empty = RecordingWriter(tmp_path / "empty", BOARD, child.facts)
    empty.abandon()
    assert Recording.open(tmp_path / "empty").end_icount == FRAMES[CUT - 1].icount


def test_a_point_in_a_branch_goes_on_its_chain(child: Recording) -> None:
    point = child.point(lambda frame: frame.seq <= CUT + 2)
    chain = Chain()
    for frame in FRAMES[: CUT + 2]:
        chain.add(frame)
    assert (point.seq, point.chain) == (CUT + 2, chain.digest())
    assert tuple(child.frames(point)) == FRAMES[CUT + 2 :]


def test_another_beginning_does_not_fit_the_log(child: Recording) -> None:
    origin = child.facts.parent
    assert origin is not None
    text = (child.path / MACHINE_NAME).read_text()
    (child.path / MACHINE_NAME).write_text(text.replace(origin.chain.hex(), "00" * 32))
    with pytest.raises(CorruptRecord):
        list(Recording.open(child.path).frames())


@pytest.mark.parametrize(
    ("key", "wrong"), [("chain", '"abc"'), ("chain", '"0011"'), ("seq", "0"), ("inputs", "-1"), ("snapshot", '"x"')]
)
def test_a_wrong_word_about_the_parent_is_named(child: Recording, key: str, wrong: str) -> None:
    path = child.path / MACHINE_NAME
    lines = path.read_text().splitlines()
    at = max(n for n, line in enumerate(lines) if line.startswith(f"{key} ="))
    lines[at] = f"{key} = {wrong}"
    path.write_text("\n".join(lines))
    with pytest.raises(LogError, match=r"recording"):
        Recording.open(child.path)


def test_a_prepared_directory_becomes_the_branch_and_takes_no_place_of_another(
    child: Recording, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared"
    RecordingWriter(prepared, BOARD, child.facts).abandon()
    (prepared / "snapshots").mkdir()
    (tmp_path / "as-prepared").hardlink_to(prepared / MACHINE_NAME)
    with pytest.raises(UsageError, match="exists already"):
        RecordingWriter(child.path, BOARD, child.facts, prepared)
    writer = RecordingWriter(tmp_path / "new", BOARD, child.facts, prepared)
    # Who is killed meanwhile leaves no half of it: another file takes its place at once.
    assert (tmp_path / "as-prepared").stat().st_nlink == 1
    for frame in FRAMES[CUT:]:
        writer.append(frame, 0)
    writer.finish()
    assert (tmp_path / "new" / LOG_NAME).read_bytes() == (child.path / LOG_NAME).read_bytes()
    assert (tmp_path / "new" / "snapshots").is_dir()
    assert not prepared.exists()


def test_an_adopted_snapshot_shares_its_pages_and_goes_when_a_change_of_it_is_there(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    memory = plain(1, 8)
    kept = snapshot(1, memory_pages=16)
    SnapshotWriter(theirs, kept.recording).add(kept, pages(memory), None)
    adopt(theirs, kept.recording, 1, ours, ID)
    # What the parent's replay has taken is nothing that the branch's has to do.
    assert (kept.work_ns > 0, SnapshotStore(ours, ID).read(1).work_ns) == (True, 0)
    assert pack_path(ours / "snapshots", 1).stat().st_ino == pack_path(theirs / "snapshots", 1).stat().st_ino
    writer = SnapshotWriter(ours, ID)
    base = replace(kept, recording=ID, number=2, seq=CUT, place=Place(0, CUT), label=BASE_LABEL)
    writer.add(base, [], 1)
    writer.delete(1)
    into = bytearray(kept.memory)
    assert SnapshotStore(ours, ID).load_memory(2, memoryview(into)) == len(memory)
    assert not pack_path(ours / "snapshots", 2).exists()
    with pytest.raises(UsageError, match="begins with"):
        writer.delete(2)


def test_inputs_of_a_branch_are_those_of_the_whole_run(child: Recording) -> None:
    parent = Recording.open(child.path.parent / "parent")
    assert child.beginning.inputs == parent.point(lambda frame: frame.seq <= CUT).inputs
