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
from machine.recording.continuation import DIED, Continued, extent_of, is_begun, note_death, take_note
from machine.recording.layout import LOG_NAME, MACHINE_NAME
from machine.recording.reader import Recording, parse_machine
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = [frame._replace(seq=seq) for seq, frame in enumerate(FRAMES[:-1] * 30, 1)]


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
    kept = extent_of(Recording.open(path)).last
    assert 0 < kept < len(MANY)
    assert list(_go_on(path, kept, MANY[kept:], 10).frames()) == MANY
    bad = bytearray(whole)
    bad[len(bad) // 2] ^= 1
    log.write_bytes(bad)
    with pytest.raises(LogError):
        extent_of(Recording.open(path))


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
    settled = extent_of(Recording.open(write(tmp_path / "a.dejavm", frames, chunk=1, close=False)))
    assert (settled.last, settled.icount, settled.ended, settled.settled, settled.synced) == (
        7,
        2500,
        False,
        True,
        1000,
    )
    late = Frame(type_of(HostInput), BROKER, 2, 2500, encode(HostInput(HostEvent.DATA, b"x")), 8)
    owing = extent_of(Recording.open(write(tmp_path / "b.dejavm", [*frames, late], chunk=1, close=False)))
    assert (owing.last, owing.settled) == (8, False)
    assert extent_of(Recording.open(write(tmp_path / "c.dejavm"))).ended


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
    assert extent_of(Recording.open(path)).last == 0
    os.unlink(path / LOG_NAME)
    assert not is_begun(path)
    assert not is_begun(tmp_path / "none")


@pytest.mark.parametrize("table", ["continued = 3", "[[recording.continued]]\nseq = -1\nicount = 2", "continued = [1]"])
def test_a_table_that_is_none_is_refused(tmp_path: Path, table: str) -> None:
    text = (write(tmp_path / "a.dejavm") / MACHINE_NAME).read_text()
    text = text.replace("[recording]\n", f"[recording]\n{table}\n") if table[0] == "c" else f"{text}\n{table}\n"
    with pytest.raises(LogError, match=r"recording\.continued"):
        parse_machine(text, "x")
