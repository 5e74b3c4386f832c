"""Files of a stranger's recording that are none, or say what nobody can keep: one line, in bounded time and memory."""

from __future__ import annotations

import os
import shutil
import struct
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcap.opcode import Opcode

from machine.errors import ChangedGuest, DamagedSnapshot, LogError, StateError
from machine.recording.facts import GuestFile, parse_facts, render_facts
from machine.recording.files import locate
from machine.recording.reader import Recording
from machine.recording.snapshots.files import digest_of
from machine.recording.snapshots.pack import FOOTER, MAGIC, Directory, Pack
from machine.recording.snapshots.snapshot import date_text
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.recording.tail import read_tail
from machine.recording.times import host_times
from machine.recording.walk import FOOTER as LOG_FOOTER
from machine.recording.walk import FOOTER_LENGTH, RECORD, TRAILER_BYTES
from machine.toml_text import parse_toml
from machine.vmstate import decode, encode
from tests.unit.machine.recordings import FACTS, FRAMES, read_all, write
from tests.unit.machine.snapshots.scenes import RECORDING, pages, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

KERNEL = GuestFile("kernel", "/dev/zero", 0, "0" * 64)
ENOUGH = 1 << 62


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm")
    machine = tmp_path / "a.dejavm/machine.toml"
    machine.unlink()
    os.mkfifo(machine)
    with pytest.raises(LogError, match="not a file"):
        Recording.open(tmp_path / "a.dejavm")


def test_a_machine_toml_without_end_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm")
    os.truncate(tmp_path / "a.dejavm/machine.toml", 1 << 40)
    with pytest.raises(LogError, match="more than"):
        Recording.open(tmp_path / "a.dejavm")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "/dev/\0zero", "/"])
def test_a_kernel_that_is_no_file_is_not_opened(tmp_path: Path, path: str) -> None:
    with pytest.raises(ChangedGuest, match="cannot be read"):
        locate(replace(KERNEL, path=path), tmp_path)


def test_a_guest_file_is_named_by_a_digest_and_nothing_else() -> None:
    table = parse_toml(render_facts(replace(FACTS, files=(replace(KERNEL, sha256="../../etc/passwd"),))))
    with pytest.raises(LogError, match="not 32 bytes in hex"):
        parse_facts(table["recording"], "machine.toml")


def test_names_that_are_no_bare_keys_are_written_as_they_were_read() -> None:
    facts = replace(FACTS, versions=(("\x1b]0;x\n[machine]", "1"), ("python", "3")))
    assert parse_facts(parse_toml(render_facts(facts))["recording"], "machine.toml").versions == facts.versions


def kept(tmp_path: Path) -> Path:
    """The folder of one snapshot of two pages."""
    writer = SnapshotWriter(tmp_path, RECORDING)
    writer.add(snapshot(1, memory_pages=8), pages({n: bytes([n, 1]) * 2048 for n in range(1, 3)}), None)
    return tmp_path / "snapshots"


@pytest.mark.parametrize("name", ["00000001.snapshot", "00000001.pages", "highest"])
def test_a_pipe_in_the_place_of_a_snapshot_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    folder = kept(tmp_path)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    store = SnapshotStore(tmp_path, RECORDING)
    assert bool(store.list()) == (name == "highest")
    assert bool(store.damage) == (name != "highest")
    added = SnapshotWriter(tmp_path, RECORDING).add(snapshot(2, memory_pages=8), pages({}), None)
    assert added.number == 2


def test_a_snapshot_without_end_is_refused(tmp_path: Path) -> None:
    os.truncate(kept(tmp_path) / "00000001.snapshot", 1 << 40)
    store = SnapshotStore(tmp_path, RECORDING)
    assert (store.list(), "more than" in store.damage[0]) == ((), True)


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: replace(directory, frames=((-5, 2, 0),)),
        lambda directory: replace(directory, frames=((1 << 70, 2, 0),)),
        lambda directory: replace(directory, frames=((1 << 40, 2, 0),)),
        lambda directory: replace(directory, frames=((100, -1, 0), (100, 3, 0))),
        lambda directory: replace(directory, frames=((100, 1 << 70, 0),)),
        lambda directory: replace(directory, firsts=struct.pack("<I", 0xFFFF_FF00)),
        lambda directory: replace(directory, firsts=b"", counts=b""),
        lambda directory: replace(directory, number=1 << 8000),
    ],
)
def test_an_index_of_pages_that_cannot_be_is_refused_with_its_digest_made_right(
    tmp_path: Path, change: Callable[[Directory], Directory]
) -> None:
    path = kept(tmp_path) / "00000001.pages"
    data = path.read_bytes()
    length, _, _ = FOOTER.unpack(data[-FOOTER.size :])
    end = len(data) - FOOTER.size
    directory = encode(change(decode(Directory, data[end - length : end])))
    footer = FOOTER.pack(len(directory), digest_of(directory), MAGIC)
    path.write_bytes(data[: end - length] + directory + footer)
    with pytest.raises(DamagedSnapshot, match=r"00000001\.pages"):
        Pack(path.parent, 1)


def test_a_number_that_nobody_counts_to_is_no_state() -> None:
    with pytest.raises(StateError, match="a number of"):
        decode(type(snapshot(1)), encode(replace(snapshot(1), number=1 << 8000)))


def test_a_time_without_a_date_is_shown_without_one() -> None:
    assert date_text(ENOUGH * 10**9) == ""


def test_nothing_is_made_or_deleted_behind_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("letter.part", "00000009.pages"):
        (elsewhere / name).write_text("precious")
    (tmp_path / "snapshots").symlink_to(elsewhere)
    with pytest.raises(LogError, match="cannot keep snapshots here"):
        SnapshotWriter(tmp_path, RECORDING).add(snapshot(1), pages({}), None)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["00000009.pages", "letter.part"]


def summary_with(log: Path, record: bytes) -> None:
    """Put a record in front of a log's summary, and make the checksum right again."""
    data = log.read_bytes()
    start = LOG_FOOTER.unpack_from(data, len(data) - TRAILER_BYTES)[2]
    summary = record + data[start:-TRAILER_BYTES]
    head = RECORD.pack(Opcode.FOOTER, FOOTER_LENGTH) + struct.pack("<QQ", start, 0)
    footer = head + struct.pack("<I", zlib.crc32(head, zlib.crc32(summary)))
    log.write_bytes(data[:start] + summary + footer + data[-8:])


def test_a_chunk_in_the_summary_is_not_unpacked(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm")
    log = tmp_path / "a.dejavm/log.mcap"
    body = struct.pack("<QQQII", 0, 1, 1 << 45, 0, 4) + b"zstd" + struct.pack("<Q", 4) + b"none"
    summary_with(log, RECORD.pack(Opcode.CHUNK, len(body)) + body)
    tail = read_tail(log)
    assert (tail is None, tail and tail.messages) == (False, len(FRAMES))


def test_a_summary_of_holes_is_read_in_pieces(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm")
    log = tmp_path / "a.dejavm/log.mcap"
    summary_with(log, bytes(3 << 20))
    assert read_all(Recording.open(tmp_path / "a.dejavm"))[0] == list(FRAMES)
    assert read_tail(log) is None


def test_the_end_of_a_log_of_many_chunks_is_read_in_little_memory(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm")
    log = tmp_path / "a.dejavm/log.mcap"
    before = read_tail(log)
    assert before is not None
    # Rows of chunks that are in front of the last one.
    body = struct.pack("<QQQQIQI", 0, 1, 8, 1 << 10, 0, 0, 4) + b"zstd" + struct.pack("<QQ", 1, 1)
    summary_with(log, 100_000 * (RECORD.pack(Opcode.CHUNK_INDEX, len(body)) + body))
    tracemalloc.start()
    try:
        assert read_tail(log) == before
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_summary_that_is_longer_than_the_log_could_have_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm", facts=replace(FACTS, closed=0))
    os.truncate(tmp_path / "a.dejavm/log.mcap", 1 << 43)
    frames, error = read_all(Recording.open(tmp_path / "a.dejavm"))
    assert (frames, "no summary" in str(error)) == (list(FRAMES), True)


def test_a_channel_that_is_not_utf_8_ends_the_times(tmp_path: Path) -> None:
    write(tmp_path / "a.dejavm")
    log = tmp_path / "a.dejavm/log.mcap"
    shutil.copy(log, tmp_path / "copy")
    body = struct.pack("<HHI", 1, 0, 2) + b"\xff\xff"
    plain = RECORD.pack(Opcode.CHANNEL, len(body)) + body
    # zstd: one raw block, its size in the frame.
    packed = b"\x28\xb5\x2f\xfd\x20" + bytes([len(plain)]) + (len(plain) << 3 | 1).to_bytes(3, "little") + plain
    chunk = struct.pack("<QQQII", 0, 0, len(plain), zlib.crc32(plain), 4) + b"zstd"
    chunk += struct.pack("<Q", len(packed)) + packed
    log.write_bytes(log.read_bytes()[:8] + RECORD.pack(Opcode.CHUNK, len(chunk)) + chunk)
    assert list(host_times(log)) == []
