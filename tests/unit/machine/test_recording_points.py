"""Points: reading a log from its middle gives what reading it from the beginning gives there."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine import vmstate
from machine.board import render_board
from machine.errors import CorruptRecord, LogError
from machine.frame import class_of
from machine.message import MessageClass
from machine.recording.chain import Chain
from machine.recording.facts import render_facts
from machine.recording.place import START, Place
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from machine.frame import Frame

MANY = [frame._replace(seq=seq) for seq, frame in enumerate(FRAMES[:-1] * 30, 1)]


@given(seq=st.integers(0, len(MANY)), chunk=st.integers(1, 60), close=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_log_reads_on_from_any_point(seq: int, chunk: int, close: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        recording = Recording.open(write(Path(directory) / "x.dejavm", MANY, chunk=chunk, close=close))
        frames = list(recording.frames())
        seq = min(seq, len(frames))
        point = recording.point(lambda frame: frame.seq <= seq)
        assert (point.seq, point.inputs) == (seq, sum(class_of(f.type) is MessageClass.INPUT for f in frames[:seq]))
        assert list(recording.frames(point)) == frames[seq:]
        assert point.chain == _chain(frames[:seq])
        assert vmstate.decode(Place, vmstate.encode(point.place)) == point.place


@given(first=st.integers(0, len(MANY)), second=st.integers(0, len(MANY)))
@settings(max_examples=30, deadline=None)
def test_a_point_is_found_from_an_earlier_one(first: int, second: int) -> None:
    first, second = sorted((first, second))
    with tempfile.TemporaryDirectory() as directory:
        recording = Recording.open(write(Path(directory) / "x.dejavm", MANY, chunk=20))
        earlier = recording.point(lambda frame: frame.seq <= first)
        assert recording.point(lambda frame: frame.seq <= second, earlier) == recording.point(
            lambda frame: frame.seq <= second
        )


def test_the_writer_marks_the_point_where_it_stands(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "x.dejavm", BOARD, FACTS)
    points = [(0, writer.mark())]
    for frame in MANY:
        writer.append(frame, 0)
        if frame.seq % 50 == 0:
            points.append((frame.seq, writer.mark()))
    writer.finish()
    recording = Recording.open(tmp_path / "x.dejavm")
    for seq, point in points:
        assert list(recording.frames(point)) == MANY[seq:]
        assert point.chain == _chain(MANY[:seq])


def test_a_point_of_another_run_is_not_believed(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm", MANY, chunk=20))
    point = recording.point(lambda frame: frame.seq <= 100)
    forged = replace(point, place=replace(point.place, chain=bytes(32)))
    with pytest.raises(CorruptRecord, match="not of this recording, or not in its place"):
        list(recording.frames(forged))


def test_a_point_in_the_middle_of_a_record_is_not_believed(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm", MANY, chunk=20))
    point = recording.point(lambda frame: frame.seq <= 100)
    for off in (-1, 1, 9, 1 << 40):
        forged = replace(point, place=replace(point.place, offset=point.place.offset + off))
        with pytest.raises(LogError):
            list(recording.frames(forged))


def test_a_format_without_points_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    old = replace(FACTS, format=2)
    (path / "machine.toml").write_text(render_board(BOARD) + "\n" + render_facts(old))
    with pytest.raises(LogError, match="format 2 cannot be read from the middle; `dejavm dump --json`"):
        Recording.open(path).point(lambda frame: frame.seq <= 1)


def test_the_start_is_a_point() -> None:
    assert START.chain == _chain([])


def _chain(frames: Iterable[Frame]) -> bytes:
    chain = Chain()
    for frame in frames:
        chain.add(frame)
    return chain.digest()
