"""A damaged log: up to the damage every message is right, and nothing behind it is believed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from machine.errors import CorruptRecord, TruncatedLog
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, read_all, write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_closed_log_cut_at_any_byte_gives_whole_chunks_and_names_the_place(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    log = path / "log.mcap"
    data = log.read_bytes()
    recording = Recording.open(path)
    counts = set()
    for size in range(len(data)):
        log.write_bytes(data[:size])
        frames, error = read_all(recording)
        assert frames == list(FRAMES[: len(frames)])
        assert isinstance(error, TruncatedLog), size
        assert error.offset <= size
        assert f"message {len(frames)}" in str(error) or not frames
        assert not Recording(path, BOARD, recording.facts).clean_end
        counts.add(len(frames))
    assert counts == {0, 3, 6, 9}


def test_a_log_that_was_never_closed_ends_with_its_last_whole_chunk_wherever_a_write_was_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm", close=False)
    whole = write(tmp_path / "y.dejavm")
    log = path / "log.mcap"
    # All that a writer ever hands to the host, in order: it may be killed while it closes the log, too.
    for data in (log.read_bytes(), (whole / "log.mcap").read_bytes()):
        first = 8 + 9 + int.from_bytes(data[9:17], "little")
        counts = set()
        for size in range(first, len(data)):
            log.write_bytes(data[:size])
            recording = Recording.open(path)
            frames, error = read_all(recording)
            assert error is None, (size, error)
            assert frames == list(FRAMES[: len(frames)])
            assert not recording.clean_end
            counts.add(len(frames))
        assert counts >= {0, 3, 6}


def test_a_closed_log_that_has_another_size_than_it_had_is_not_clean(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    machine = path / "machine.toml"
    recording = Recording.open(path)
    assert recording.facts.closed == recording.log_bytes
    machine.write_text(machine.read_text().replace(f"closed = {recording.log_bytes}", "closed = 77"))
    frames, error = read_all(Recording.open(path))
    assert frames == list(FRAMES)
    assert isinstance(error, CorruptRecord)
    assert "and had 77 when it was closed" in str(error)


def test_a_log_whose_end_could_not_be_written_down_is_whole(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "x.dejavm", BOARD, FACTS)
    for frame in FRAMES:
        writer.append(frame, 0)
    (tmp_path / "x.dejavm/machine.toml.part").mkdir()
    writer.finish()
    recording = Recording.open(tmp_path / "x.dejavm")
    assert recording.facts.closed == 0
    assert recording.clean_end
    assert read_all(recording) == (list(FRAMES), None)


def test_no_flipped_bit_gives_a_wrong_message(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    log = path / "log.mcap"
    data = log.read_bytes()
    recording = Recording.open(path)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        log.write_bytes(damaged)
        frames, error = read_all(recording)
        assert frames == list(FRAMES[: len(frames)]), at
        assert isinstance(error, TruncatedLog | CorruptRecord), at
        assert Recording(path, BOARD, FACTS).clean_end in (True, False)


def test_no_flipped_bit_of_an_unclosed_log_gives_a_wrong_message(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm", close=False)
    log = path / "log.mcap"
    data = log.read_bytes()
    recording = Recording.open(path)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x80 >> at % 8
        log.write_bytes(damaged)
        frames, _ = read_all(recording)
        assert frames == list(FRAMES[: len(frames)]), at


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**32, 2**24, 1000])
def test_a_forged_length_is_not_believed(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "x.dejavm", FRAMES[:3], close=False)
    log = path / "log.mcap"
    data = log.read_bytes()
    header_end = 8 + 9 + int.from_bytes(data[9:17], "little")
    # The length of the chunk's record, then the size the chunk says it has unpacked.
    for at in (header_end + 1, header_end + 9 + 16):
        log.write_bytes(data[:at] + length.to_bytes(8, "little") + data[at + 8 :])
        frames, error = read_all(Recording.open(path))
        assert frames == []
        assert isinstance(error, TruncatedLog | CorruptRecord)


def test_a_missing_number_ends_the_log_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.dejavm"
    writer = RecordingWriter(path, BOARD, FACTS)
    for number, frame in enumerate(FRAMES):
        # A writer that has lost count: the assertion in append() is what normally stops it.
        writer._seq = frame.seq + (number >= 4) - 1
        writer.append(frame._replace(seq=frame.seq + (number >= 4)), 0)
    writer.finish()
    frames, error = read_all(Recording.open(path))
    assert frames == list(FRAMES[:4])
    assert isinstance(error, CorruptRecord)
    assert "message 6 where 5 belongs" in str(error)
    assert "good up to instruction 1000, message 4" in str(error)


def chunks_of(log: Path) -> tuple[bytes, list[bytes]]:
    """An unclosed log as its first bytes and its chunks' records."""
    data = log.read_bytes()
    at, parts = 8, []
    while at < len(data):
        end = at + 9 + int.from_bytes(data[at + 1 : at + 9], "little")
        parts.append(data[at:end])
        at = end
    return data[:8] + parts[0], parts[1:]


@pytest.mark.parametrize("order", [[0, 2], [1], [0, 0], [0, 1, 1, 2], [0, 2, 1], [2, 1, 0], [0, 1, 0, 2]])
def test_chunks_that_are_missing_doubled_or_shuffled_end_the_log_before_them(tmp_path: Path, order: list[int]) -> None:
    path = write(tmp_path / "x.dejavm", close=False)
    head, chunks = chunks_of(path / "log.mcap")
    (path / "log.mcap").write_bytes(head + b"".join(chunks[number] for number in order))
    frames, error = read_all(Recording.open(path))
    good = next(i for i, number in enumerate([*order, -1]) if number != i)
    assert frames == list(FRAMES[: 3 * good])
    assert isinstance(error, CorruptRecord)
    assert f"message {3 * good}" in str(error)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_chunk_of_another_recording_is_not_believed(tmp_path: Path, number: int) -> None:
    path = write(tmp_path / "x.dejavm", close=False)
    write(tmp_path / "y.dejavm", facts=replace(FACTS, id="11" * 16), close=False)
    head, chunks = chunks_of(path / "log.mcap")
    # Every message of it is the same; only the recording is another.
    chunks[number] = chunks_of(tmp_path / "y.dejavm/log.mcap")[1][number]
    (path / "log.mcap").write_bytes(head + b"".join(chunks))
    frames, error = read_all(Recording.open(path))
    assert frames == list(FRAMES[: 3 * number])
    assert "not of this recording" in str(error)


def test_ten_thousand_random_flips_never_give_a_wrong_message(tmp_path: Path) -> None:
    frames = [frame._replace(seq=seq) for seq, frame in enumerate(FRAMES[:-1] * 8 + FRAMES[-1:], 1)]
    path = write(tmp_path / "x.dejavm", frames, chunk=7)
    log = path / "log.mcap"
    data = log.read_bytes()
    recording = Recording.open(path)
    places = random.Random(4)
    for _ in range(10_000):
        damaged = bytearray(data)
        for _ in range(places.randint(1, 3)):
            damaged[places.randrange(len(data))] ^= 1 << places.randrange(8)
        log.write_bytes(damaged)
        good, error = read_all(recording)
        assert good == frames[: len(good)]
        assert damaged == data or isinstance(error, TruncatedLog | CorruptRecord)
