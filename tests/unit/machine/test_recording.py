"""The recording: what is written comes back, and nothing else ever does."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from machine.codec import MESSAGES
from machine.errors import ChangedGuest, LogError, TruncatedLog, UnknownLogVersion, UsageError
from machine.frame import Frame
from machine.recording.chain import Chain
from machine.recording.cut import Cut
from machine.recording.facts import check_states, gather_facts
from machine.recording.files import board_here
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, read_all, write

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGGED_TYPES = [number for number in MESSAGES if number >= 32]


@st.composite
def rows_of_frames(draw: st.DrawFn) -> list[Frame]:
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(LOGGED_TYPES),
                st.integers(0, 3),
                st.integers(0, 3),
                st.integers(0, 2**63),
                st.binary(max_size=40),
            ),
            max_size=30,
        )
    )
    return [Frame(*row, seq) for seq, row in enumerate(rows, 1)]


@given(frames=rows_of_frames(), chunk=st.integers(1, 40), close=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_frame_that_reached_the_host_comes_back(frames: list[Frame], chunk: int, close: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory) / "x.dejavm", frames, chunk=chunk, close=close)
        kept = frames if close else frames[: len(frames) // chunk * chunk]
        assert read_all(Recording.open(path)) == (kept, None)


def test_the_machine_and_the_facts_come_back(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm"))
    assert (recording.board, recording.facts) == (BOARD, FACTS)


def test_only_the_owner_can_look_into_a_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "deep" / "x.dejavm")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_a_closed_log_with_an_end_has_a_clean_end(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm"))
    assert recording.clean_end
    assert (recording.end_icount, recording.messages, recording.inputs) == (4000, 9, 5)


@pytest.mark.parametrize(("frames", "close"), [(FRAMES, False), (FRAMES[:-1], True), ((), True), ((), False)])
def test_no_other_log_has_a_clean_end(tmp_path: Path, frames: Sequence[Frame], close: bool) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm", frames, close=close))
    assert not recording.clean_end
    assert recording.messages == len(frames)


def test_the_summary_counts_what_was_said(tmp_path: Path) -> None:
    summary = Recording.open(write(tmp_path / "x.dejavm")).summary()
    chain = Chain()
    for frame in FRAMES:
        chain.add(frame)
    assert summary.digest == chain.digest()
    assert (summary.instructions, summary.virtual_ns) == (4000, 4525)
    assert (summary.messages, summary.inputs, summary.ended, summary.damage) == (9, 5, True, "")
    assert [(c.source, c.target, c.type, c.messages) for c in summary.channels][-1] == (2, 1, "done", 3)


KILLED = """
import os, sys, time
from pathlib import Path
from tests.unit.machine.recordings import *
writer = RecordingWriter(Path(sys.argv[1]), BOARD, FACTS)
for frame in FRAMES[:-1]:
    writer.append(frame, frame.seq * 50_000_000)
print("written", flush=True)
sys.stdin.read()
"""


def test_the_log_of_a_killed_writer_opens_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "x.dejavm"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        os.kill(child.pid, signal.SIGKILL)
    frames, error = read_all(Recording.open(path))
    assert error is None
    # 50 ms a message: a chunk is closed by its third, or in front of a sync point, so at most two are lost.
    assert frames == list(FRAMES[:7])
    assert not Recording.open(path).clean_end


def test_mcaps_own_reader_decodes_every_message_with_the_schemas_of_the_log(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    with (path / "log.mcap").open("rb") as file:
        whole = list(make_reader(file, validate_crcs=True).iter_messages(log_time_order=False))
    rows = [row for row in whole if row[1].topic != "link"]
    assert [len(message.data) for _, channel, message in whole if channel.topic == "link"] == [32, 32, 32]
    assert [(m.sequence, m.log_time, m.data) for _, _, m in rows] == [(f.seq, f.icount, f.payload) for f in FRAMES]
    for (schema, channel, message), frame in zip(rows, FRAMES, strict=True):
        assert schema is not None
        pool = descriptor_pool.DescriptorPool()
        for file_proto in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
            pool.Add(file_proto)
        decoded = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name)).FromString(message.data)
        assert str(decoded) == str(MESSAGES[frame.type][1].FromString(frame.payload))
        assert channel.metadata["class"] == ("input" if frame.type < 64 else "derived")
    assert rows[5][1].topic == "cpu/mmio_access>serial0"


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    write(tmp_path / "x.dejavm")
    with pytest.raises(UsageError, match=r"x.dejavm: exists already"):
        RecordingWriter(tmp_path / "x.dejavm", BOARD, FACTS)


class FullDisk:
    """A host whose disk takes so many bytes and no more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def write(self, fd: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(28, "No space left on device")
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [100, 500, 800, 1200])
def test_a_full_disk_is_one_clear_error_and_leaves_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(os, "write", FullDisk(room).write)
    path = tmp_path / "x.dejavm"
    with pytest.raises(LogError, match=r"log.mcap: cannot write the log: No space left on device"):
        write(path, FRAMES * 1, chunk=1)
    frames, error = read_all(Recording.open(path))
    assert frames == list(FRAMES[: len(frames)])
    # The part of a chunk that found room was taken off again; only the log's first bytes may be incomplete.
    assert error is None or (frames == [] and isinstance(error, TruncatedLog))


@pytest.mark.parametrize("name", ["machine.toml", "log.mcap"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "x.dejavm")
    (path / name).unlink()
    with pytest.raises(LogError, match=name):
        Recording.open(path)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"gone.dejavm: there is no such recording"):
        Recording.open(tmp_path / "gone.dejavm")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    machine = path / "machine.toml"
    machine.write_text(machine.read_text().replace("format = 4\n", "format = 5\n"))
    with pytest.raises(UnknownLogVersion, match=r"format 5, this program reads formats 1, 2, 3, 4"):
        Recording.open(path)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("[machine]", "[machine", "not TOML"),
        ("[recording", "[other", "the .recording. table is missing"),
        ('cpu = "riscv64"', "cpu = 3", r"machine\.cpu"),
        ('id = "', 'nr = "', "recording id"),
        ("[recording.versions]", "states = 1\n[recording.versions]", r"recording\.states"),
        ("[recording.versions]", "[recording.states]\ncpu = 1\n[recording.versions]", r"recording\.states"),
        ("[recording.versions]", '[recording.states.cpu]\ncpu = "1"\n[recording.versions]', "recording cpu"),
    ],
)
def test_a_wrong_machine_file_is_an_unreadable_recording(tmp_path: Path, old: str, new: str, error: str) -> None:
    path = write(tmp_path / "x.dejavm")
    machine = path / "machine.toml"
    text = machine.read_text()
    assert old in text
    machine.write_text(text.replace(old, new))
    with pytest.raises(LogError, match=error):
        Recording.open(path)


def test_a_changed_guest_file_is_named_with_both_digests(tmp_path: Path) -> None:
    kernel = tmp_path / 'a "b"\x7f'
    kernel.write_bytes(b"one")
    facts = gather_facts(replace(BOARD, kernel=str(kernel)), 1_700_000_000_123_456_789)
    assert facts.created == "2023-11-14T22:13:20.123457+00:00"
    writer = RecordingWriter(tmp_path / "x.dejavm", replace(BOARD, kernel=str(kernel)), facts)
    writer.finish()
    recording = Recording.open(tmp_path / "x.dejavm")
    assert recording.facts == facts
    assert board_here(recording).kernel == str(kernel)
    kernel.write_bytes(b"two")
    with pytest.raises(ChangedGuest, match=f"{facts.files[0].sha256}, found 3fc4ccfe7458"):
        board_here(recording)
    kernel.unlink()
    with pytest.raises(ChangedGuest, match="cannot be read"):
        board_here(recording)


STATES: Final = (("cpu", (("cpu", 1), ("window", 2))), ("serial0", (("serial16550", 3),)))


def test_a_recording_remembers_the_states_of_its_nodes(tmp_path: Path) -> None:
    facts = replace(FACTS, states=STATES)
    assert Recording.open(write(tmp_path / "x.dejavm", facts=facts)).facts == facts


@pytest.mark.parametrize(
    ("here", "error"),
    [
        ({"cpu": {"cpu": 1, "window": 2}, "serial0": {"serial16550": 3}}, ""),
        ({"cpu": {"window": 2, "cpu": 1}}, ""),
        ({"nic7": {"virtio-net": 9}}, ""),
        (
            {"cpu": {"cpu": 1, "window": 1}},
            "cpu: recorded with version 2 of state window, and here is version 1 of state window",
        ),
        ({"cpu": {"cpu": 1}}, "cpu: recorded with version 2 of state window, and here is no state window"),
        (
            {"serial0": {"serial16550": 3, "treatment": 1}},
            "serial0: recorded with no state treatment, and here is version 1 of state treatment",
        ),
    ],
)
def test_a_state_of_another_version_is_refused_with_both_sides(here: dict[str, dict[str, int]], error: str) -> None:
    if not error:
        check_states(replace(FACTS, states=STATES), here)
        return
    with pytest.raises(LogError, match=f"{error}; use the dejavm that made it"):
        check_states(replace(FACTS, states=STATES), here)


def test_a_recording_that_tells_no_states_is_believed() -> None:
    check_states(FACTS, {"cpu": {"cpu": 7}})


def test_a_recording_names_the_versions_that_are_installed() -> None:
    versions = dict(gather_facts(BOARD, 0).versions)
    assert versions.pop("python") == platform.python_version()
    assert versions == {name: importlib.metadata.version(name) for name in versions}
    assert set(versions) == {"unicorn", "protobuf", "mcap", "dejavm"}


def test_a_chain_depends_on_everything_but_the_place_in_the_order() -> None:
    def digest(*frames: Frame) -> bytes:
        chain = Chain()
        for frame in frames:
            chain.add(frame)
        return chain.digest()

    frame = FRAMES[3]
    changed = [
        frame._replace(icount=1001),
        frame._replace(source=1),
        frame._replace(target=3),
        frame._replace(type=35),
        frame._replace(payload=frame.payload + b"\0"),
    ]
    assert len({digest(f) for f in (frame, *changed)}) == 6
    assert digest(frame._replace(seq=99)) == digest(frame)
    assert digest(*FRAMES * 200) != digest(*FRAMES * 201)


def test_a_chain_can_be_looked_at_on_the_way() -> None:
    looked, straight = Chain(), Chain()
    for frame in FRAMES * 100:
        looked.add(frame)
        looked.digest()
        straight.add(frame)
    assert looked.digest() == straight.digest()


CUT = Cut("11" * 16, seq=3, icount=1000, inputs=2, idle_ns=500, chain="ab" * 32, snapshot=1, begin=1001, end=4000)


def test_a_cut_goes_on_with_seq_and_chain_of_the_whole(tmp_path: Path) -> None:
    chain = Chain()
    for frame in FRAMES[:3]:
        chain.add(frame)
    facts = replace(FACTS, cut=replace(CUT, chain=chain.digest().hex()))
    path = write(tmp_path / "part.dejavm", FRAMES[3:], facts=facts, chunk=2)
    part = Recording.open(path)
    assert part.facts == facts
    assert list(part.frames()) == list(FRAMES[3:])
    assert part.clean_end
    assert (part.messages, part.end_icount) == (9, 4000)
    whole = Recording.open(write(tmp_path / "whole.dejavm"))
    assert part.summary().digest == whole.summary().digest
    assert part.summary().virtual_ns == whole.summary().virtual_ns
    # With another beginning no chunk is believed.
    (path / "machine.toml").write_text((path / "machine.toml").read_text().replace("seq = 3", "seq = 2"))
    assert read_all(Recording.open(path))[0] == []


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("seq = 3", "seq = -1", r"recording\.cut\.seq"),
        ("snapshot = 1", 'snapshot = "1"', r"recording\.cut\.snapshot"),
        ("ab" * 32, "ab" * 31, r"recording\.cut\.chain"),
        ("ab" * 32, "zz" * 32, r"recording\.cut\.chain"),
        ("begin = 1001\n", "", r"recording\.cut\.begin"),
    ],
)
def test_a_cut_that_says_nonsense_is_refused(tmp_path: Path, old: str, new: str, error: str) -> None:
    path = write(tmp_path / "x.dejavm", (), facts=replace(FACTS, cut=CUT))
    machine = path / "machine.toml"
    machine.write_text(machine.read_text().replace(old, new))
    with pytest.raises(LogError, match=error):
        Recording.open(path)
