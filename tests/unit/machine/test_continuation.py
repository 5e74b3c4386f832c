"""A log whose writer was killed is gone on with by another: what stays, what is dropped, what is refused."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.codec import encode, type_of
from machine.errors import LogError
from machine.frame import Frame
from machine.icount import BROKER
from machine.message import HostEvent, HostInput
from machine.recording.continuation import DIED, Continued, Extent, extent_of, is_begun, note_death, take_note
from machine.recording.layout import LOG_NAME, MACHINE_NAME
from machine.recording.reader import Recording, parse_machine
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write
from tests.unit.machine.snapshots.scenes import pages, plain, snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

NODES = frozenset(("cpu", "serial0", "rtc0"))
ROUND = len(FRAMES) - 1
"""Messages behind which nothing is under way."""
MANY = [frame._replace(seq=seq) for seq, frame in enumerate(FRAMES[:-1] * 30, 1)]


def _extent(path: Path, nodes: Set[str] = NODES) -> Extent:
    recording = Recording.open(path)
    return extent_of(recording, SnapshotStore(path, recording.facts.id), nodes)


def _go_on(path: Path, upto: int, frames: Sequence[Frame], chunk: int) -> Recording:
    """Another writer, behind message `upto`."""
    facts = replace(FACTS, continued=(Continued(upto, 7),))
    writer = RecordingWriter(path, BOARD, facts, begun=(Recording.open(path), upto))
    for frame in frames:
        # As recordings.write() has it.
        host_ns = (frame.seq - 1) // chunk * 100_000_000
        writer.append(frame, host_ns)
        if frame.seq % chunk == 0:
            writer.flush_if_due(host_ns + 100_000_000)
    writer.finish()
    return Recording.open(path)


@given(upto=st.integers(0, len(MANY)), chunk=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_a_log_is_gone_on_with_behind_any_message_and_is_one_log(upto: int, chunk: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory) / "x.dejavm", MANY, chunk=chunk, close=False)
        # What a writer that was killed has written to the host, its last chunk open.
        upto = min(upto, Recording.open(path).messages)
        recording = _go_on(path, upto, MANY[upto:], chunk)
        assert list(recording.frames()) == MANY
        assert recording.messages == len(MANY)
        assert not recording.summary().damage
        assert recording.facts.continued == (Continued(upto, 7),)


def test_a_log_that_is_gone_on_with_at_a_chunks_end_is_the_undisturbed_one_to_the_byte(tmp_path: Path) -> None:
    undisturbed = write(tmp_path / "a.dejavm", MANY, chunk=10)
    path = write(tmp_path / "b.dejavm", MANY[:100], chunk=10, close=False)
    _go_on(path, 100, MANY[100:], 10)
    assert (path / LOG_NAME).read_bytes() == (undisturbed / LOG_NAME).read_bytes()


def test_a_torn_chunk_is_cut_off_and_other_damage_is_not_touched(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dejavm", MANY, chunk=10, close=False)
    log = path / LOG_NAME
    whole = log.read_bytes()
    log.write_bytes(whole[:-5])
    kept = _extent(path).last
    assert 0 < kept < len(MANY)
    assert list(_go_on(path, kept, MANY[kept:], 10).frames()) == MANY
    bad = bytearray(whole)
    bad[len(bad) // 2] ^= 1
    log.write_bytes(bad)
    with pytest.raises(LogError):
        _extent(path)


def test_what_another_program_has_written_is_not_gone_on_with(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dejavm", MANY, chunk=10, close=False)
    log, recording = path / LOG_NAME, Recording.open(path)
    data = log.read_bytes()
    other = data.replace(b"mcap-python", b"mcap-pascal", 1)
    assert other != data
    log.write_bytes(other)
    with pytest.raises(LogError, match="another dejavm has written it"):
        RecordingWriter(path, BOARD, FACTS, begun=(recording, 20))
    assert log.read_bytes() == other


def test_an_extent_says_where_nothing_is_under_way(tmp_path: Path) -> None:
    frames = list(FRAMES[:-2])
    settled = _extent(write(tmp_path / "a.dejavm", frames, chunk=1, close=False))
    assert (settled.last, settled.icount, settled.ended, settled.settled, settled.synced) == (
        7,
        2500,
        False,
        True,
        1000,
    )
    late = Frame(type_of(HostInput), BROKER, 2, 2500, encode(HostInput(HostEvent.DATA, b"x")), 8)
    owing = _extent(write(tmp_path / "b.dejavm", [*frames, late], chunk=1, close=False))
    assert (owing.last, owing.settled) == (8, False)
    assert _extent(write(tmp_path / "c.dejavm")).ended


def _snapshots_along(path: Path) -> list[int]:
    """A log of MANY that nobody has closed, with a snapshot of all nodes each four rounds; behind which messages."""
    writer = RecordingWriter(path, BOARD, FACTS)
    store = SnapshotWriter(path, FACTS.id)
    behind: list[int] = []
    for frame in MANY:
        writer.append(frame, 0)
        if frame.seq % (4 * ROUND) == 0:
            point = writer.mark()
            taken = snapshot(len(behind) + 1, icount=frame.icount, nodes="cpu serial0 rtc0")
            taken = replace(taken, recording=FACTS.id, place=point.place, seq=point.seq, chain=point.chain)
            store.add(taken, pages(plain(1, 1)), None)
            behind.append(frame.seq)
    writer.mark()
    writer.abandon()
    return behind


def test_an_extent_is_read_from_the_newest_snapshot_on(tmp_path: Path) -> None:
    path = tmp_path / "a.dejavm"
    behind = _snapshots_along(path)
    assert behind[-1] < len(MANY)
    found = _extent(path)
    assert (found.last, found.settled) == (len(MANY), True)
    # What is in front of it is looked at when the log is gone on with.
    log = path / LOG_NAME
    data = bytearray(log.read_bytes())
    data[len(data) // 3] ^= 1
    log.write_bytes(data)
    assert _extent(path) == found
    with pytest.raises(LogError):
        RecordingWriter(path, BOARD, FACTS, begun=(Recording.open(path), found.last))


def test_a_snapshot_that_the_log_does_not_reach_is_not_where_its_extent_is_read_from(tmp_path: Path) -> None:
    path = tmp_path / "a.dejavm"
    _snapshots_along(path)
    for size in range((path / LOG_NAME).stat().st_size, 1000, -997):
        os.truncate(path / LOG_NAME, size)
        found, read = _extent(path), _extent(path, {"nobody"})
        assert (found.last, found.ended, found.settled) == (read.last, read.ended, read.settled)
        assert found.last == Recording.open(path).messages


def test_a_broker_s_death_is_known_to_one_whom_the_same_process_starts_and_to_nobody_else(tmp_path: Path) -> None:
    mark, ours = tmp_path / DIED, os.getpid()
    assert not take_note(tmp_path, ours)
    note_death(tmp_path, ours)
    note_death(tmp_path, ours)
    before = os.readlink(mark)
    assert take_note(tmp_path, ours)
    assert not take_note(tmp_path, ours)
    # What stands there of another run: a process of another number, or that had ours; a file that says nothing.
    note_death(tmp_path, os.getppid())
    another = os.readlink(mark)
    for left in (another, f"{before}0"):
        mark.unlink(missing_ok=True)
        mark.symlink_to(left)
        assert not take_note(tmp_path, ours)
        assert not os.path.lexists(mark)
    mark.touch()
    assert not take_note(tmp_path, ours)
    assert not mark.exists()


def test_a_directory_in_which_nothing_was_begun_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dejavm", [], close=False)
    assert is_begun(path)
    assert _extent(path).last == 0
    os.unlink(path / LOG_NAME)
    assert not is_begun(path)
    assert not is_begun(tmp_path / "none")


@pytest.mark.parametrize("table", ["continued = 3", "[[recording.continued]]\nseq = -1\nicount = 2", "continued = [1]"])
def test_a_table_that_is_none_is_refused(tmp_path: Path, table: str) -> None:
    text = (write(tmp_path / "a.dejavm") / MACHINE_NAME).read_text()
    text = text.replace("[recording]\n", f"[recording]\n{table}\n") if table[0] == "c" else f"{text}\n{table}\n"
    with pytest.raises(LogError, match=r"recording\.continued"):
        parse_machine(text, "x")
