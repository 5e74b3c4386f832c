"""The log as a file of MCAP's: the same bytes as of MCAP's own writer, without its memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from mcap.records import Channel, Chunk, DataEnd, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import IndexType, Writer

from machine.codec import encode, type_of
from machine.frame import Frame
from machine.message import SyncPoint
from machine.recording import sections
from machine.recording.format import HIGHEST_CHUNK_BYTES, PROFILE
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, behind_the_chunks, read_all, write

if TYPE_CHECKING:
    from pathlib import Path

CHUNKS = 3000


def sync_points(count: int) -> list[Frame]:
    return [
        Frame(type_of(SyncPoint), 0, 1, seq * 1000, encode(SyncPoint(idle_ns=5)), seq) for seq in range(1, count + 1)
    ]


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_the_log_is_byte_for_byte_what_mcaps_own_writer_makes_of_it(tmp_path: Path, chunk: int) -> None:
    log = write(tmp_path / "x.dejavm", chunk=chunk) / "log.mcap"
    with log.open("rb") as file, (tmp_path / "other.mcap").open("wb") as other:
        writer = Writer(other, chunk_size=HIGHEST_CHUNK_BYTES, index_types=IndexType.CHUNK, enable_data_crcs=True)
        writer.start(PROFILE)
        for record in StreamReader(file, emit_chunks=True).records:
            if isinstance(record, DataEnd):
                break
            for part in breakup_chunk(record) if isinstance(record, Chunk) else ():
                _repeat(writer, part)
            writer.flush()  # type: ignore[no-untyped-call]
        writer.finish()  # type: ignore[no-untyped-call]
    assert log.read_bytes() == (tmp_path / "other.mcap").read_bytes()


def _repeat(writer: Writer, record: object) -> None:
    if isinstance(record, Schema):
        writer.register_schema(record.name, record.encoding, record.data)
    if isinstance(record, Channel):
        writer.register_channel(record.topic, record.message_encoding, record.schema_id, record.metadata)
    if isinstance(record, Message):
        writer.add_message(record.channel_id, record.log_time, record.data, record.publish_time, record.sequence)


def test_a_log_without_a_message_has_an_end(tmp_path: Path) -> None:
    RecordingWriter(tmp_path / "x.dejavm", BOARD, FACTS).finish()
    assert read_all(Recording.open(tmp_path / "x.dejavm")) == ([], None)


def test_a_log_of_many_chunks_is_not_in_memory(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "x.dejavm", BOARD, FACTS)
    first, *rest = sync_points(CHUNKS)
    writer.append(first, 0)
    tracemalloc.start()
    try:
        for frame in rest:
            writer.append(frame, frame.seq * 200_000_000)
            writer.flush_if_due(frame.seq * 200_000_000 + 100_000_000)
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    writer.finish()
    assert now < CHUNKS * 40
    assert len(list((tmp_path / "x.dejavm").iterdir())) == 2


def test_where_the_index_was_kept_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = write(tmp_path / "x.dejavm", chunk=1) / "log.mcap"
    monkeypatch.setattr(sections, "_KEPT_BYTES", 200)
    monkeypatch.setattr(sections, "_PIECE_BYTES", 100)
    spilled = write(tmp_path / "y.dejavm", chunk=1) / "log.mcap"
    assert spilled.read_bytes() == in_memory.read_bytes()


def test_a_recording_that_is_moved_while_it_is_made_is_closed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = write(tmp_path / "x.dejavm", chunk=1) / "log.mcap"
    monkeypatch.setattr(sections, "_KEPT_BYTES", 200)
    writer = RecordingWriter(tmp_path / "y.dejavm", BOARD, FACTS)
    (tmp_path / "y.dejavm").rename(tmp_path / "z.dejavm")
    for number, frame in enumerate(FRAMES):
        writer.append(frame, number * 100_000_000)
        writer.flush_if_due((number + 1) * 100_000_000)
    writer.finish()
    assert (tmp_path / "z.dejavm" / "log.mcap").read_bytes() == usual.read_bytes()


LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from tests.unit.machine.recordings import *
from machine.recording import sections
sections._PIECE_BYTES = 100
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    write(Path(sys.argv[1]), chunk=1)
except LogError as error:
    print(error)
"""


def test_a_summary_for_which_there_is_no_room_is_not_there_at_all(tmp_path: Path) -> None:
    log = (write(tmp_path / "x.dejavm", chunk=1) / "log.mcap").read_bytes()
    chunks = log[: behind_the_chunks(log)]
    path = tmp_path / "y.dejavm"
    room = len(log) - 200
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_ROOM, str(path), str(room)], capture_output=True, text=True, check=True
    )
    assert "log.mcap: cannot write the log: File too large" in done.stdout
    assert (path / "log.mcap").read_bytes() == chunks
    assert read_all(Recording.open(path)) == (list(FRAMES), None)
