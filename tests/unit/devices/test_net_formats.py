"""Frames in messages, on streams and in captures."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.net.capture import Capture
from devices.backends.net.frames import pack, unpack
from devices.backends.net.framing import LONGEST, BrokenFramingError, FrameReader, frame_bytes
from devices.nic.frames import split_frames
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from machine.pcapng import head, packet
from tests.harness.host_loop import HostLoop
from tests.harness.net import INBOUND, OUTBOUND, Captured, read_capture

if TYPE_CHECKING:
    from pathlib import Path

frames_lists = st.lists(st.binary(max_size=200), max_size=20)


@given(frames_lists)
def test_a_message_gives_back_its_frames_to_backend_and_card(frames: list[bytes]) -> None:
    message = pack(frames)
    assert list(unpack(message)) == list(split_frames(message)) == frames


@given(st.binary(max_size=300))
def test_any_bytes_are_whole_frames_and_a_rest(data: bytes) -> None:
    frames = list(unpack(data))
    whole = pack(frames)
    assert data.startswith(whole)
    assert list(unpack(data[len(whole) :])) == []


@given(frames_lists, st.data())
def test_a_stream_gives_the_same_frames_however_it_is_cut(frames: list[bytes], data: st.DataObject) -> None:
    stream = frame_bytes(frames)
    reader = FrameReader()
    found: list[bytes] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert found == frames


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=50))
def test_a_stream_of_anything_gives_frames_or_is_refused(pieces: list[bytes]) -> None:
    reader = FrameReader()
    found: list[bytes] = []
    refused = False
    for piece in pieces:
        try:
            found += reader.feed(piece)
        except BrokenFramingError:
            refused = True
            break
    rest = b"".join(pieces)
    for frame in found:
        assert struct.unpack_from(">I", rest) == (len(frame),)
        assert rest[4 : 4 + len(frame)] == frame
        rest = rest[4 + len(frame) :]
    refused |= reader.is_broken
    if len(rest) >= 4:
        (size,) = struct.unpack_from(">I", rest)
        assert refused == (size > LONGEST)
        assert refused or size > len(rest) - 4


def test_the_longest_frame_is_read_and_one_byte_more_is_refused() -> None:
    assert FrameReader().feed(frame_bytes([bytes(LONGEST)])) == [bytes(LONGEST)]
    with pytest.raises(BrokenFramingError, match="a frame of 65537 bytes"):
        FrameReader().feed(struct.pack(">I", LONGEST + 1))


def test_whole_frames_in_front_of_a_lie_are_read_and_then_it_is_refused_for_good() -> None:
    reader = FrameReader()
    assert reader.feed(frame_bytes([b"one", b"two"]) + struct.pack(">I", LONGEST + 1)) == [b"one", b"two"]
    for _ in range(2):
        with pytest.raises(BrokenFramingError, match="a frame of 65537 bytes"):
            reader.feed(b"")


@given(st.lists(st.tuples(st.binary(max_size=100), st.integers(0, 2**63), st.booleans()), max_size=10))
def test_a_capture_is_read_by_others(
    tmp_path_factory: pytest.TempPathFactory, packets: list[tuple[bytes, int, bool]]
) -> None:
    path = tmp_path_factory.mktemp("capture") / "a.pcapng"
    path.write_bytes(head("nic0") + b"".join(packet(f, icount, inbound=inbound) for f, icount, inbound in packets))
    expected = [Captured(f, icount, icount, INBOUND if inbound else OUTBOUND) for f, icount, inbound in packets]
    assert read_capture(path) == expected


def test_a_capture_is_whole_after_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"what was there before")
    capture = Capture("nic0", str(path))
    assert not capture.running
    capture.open()
    assert read_capture(path) == []
    for number in range(3):
        capture.write(b"frame", number, inbound=False)
        assert [packet.icount for packet in read_capture(path)] == list(range(number + 1))
    capture.close()
    capture.close()


def test_a_capture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"nic0: cannot write capture .*none/a: "):
        Capture("nic0", str(tmp_path / "none" / "a")).open()
    with pytest.raises(BackendError, match="nic0: cannot write capture"):
        Capture("nic0", "a\0b").open()


def test_a_full_disk_ends_a_capture_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    capture = Capture("nic0", "/dev/full")
    capture.open()
    for number in range(3):
        capture.write(b"x", number, inbound=True)
    assert caplog.text.count("misses frames: No space left on device") == 1
    assert not capture.running


def test_a_slow_reader_of_a_fifo_misses_whole_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    capture = Capture("nic0", str(path))
    with pytest.raises(BackendError, match="No such device"):
        capture.open()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    capture.open()
    for number in range(200):
        capture.write(bytes(1500), number, inbound=True)
    assert capture.lost > 0
    assert caplog.text.count("its reader is slow") == 1
    got = os.read(reader, 1 << 20)
    capture.write(b"later", 1000, inbound=True)
    got += os.read(reader, 1 << 20)
    capture.close()
    os.close(reader)
    copy = tmp_path / "copy"
    copy.write_bytes(got)
    seen = [packet.icount for packet in read_capture(copy)]
    assert seen == [*range(len(seen) - 1), 1000]
    assert len(seen) - 1 + capture.lost == 200


def test_every_backend_captures_what_passes_it_and_may_change_its_mind(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    backend = create_backend("net", f"none,pcap={first}", "nic0")
    loop = HostLoop(backend).open()
    backend.passed(pack([b"to the guest", b"another"]), 7, inbound=True)
    backend.passed(pack([b"from the guest"]), 8, inbound=False)
    assert read_capture(first) == [
        Captured(b"to the guest", 7, 7, INBOUND),
        Captured(b"another", 7, 7, INBOUND),
        Captured(b"from the guest", 8, 8, OUTBOUND),
    ]
    with pytest.raises(BackendError, match=r"nic0: cannot write capture .*none/a"):
        backend.take_word(f"none,pcap={tmp_path}/none/a")
    assert backend.take_word(f"none,pcap={second}")
    backend.passed(pack([b"later"]), 9, inbound=True)
    assert backend.take_word("none")
    backend.passed(pack([b"unseen"]), 10, inbound=True)
    assert len(read_capture(first)) == 3
    assert read_capture(second) == [Captured(b"later", 9, 9, INBOUND)]
    assert loop.kinds() == [HostEvent.CLOSED]
    backend.close()


def test_a_capture_alone_is_a_cable_that_leads_nowhere(tmp_path: Path) -> None:
    loop = HostLoop(create_backend("net", f"pcap:{tmp_path}/a", "nic0")).open()
    assert loop.kinds() == [HostEvent.OPENED]
    assert loop.backend.write(pack([b"x"])) == BackendResult(3)
    assert loop.backend.descriptors(1 << 16) == ()
    assert loop.backend.take_word(f"pcap:{tmp_path}/b,link=off")
    assert loop.kinds() == [HostEvent.OPENED, HostEvent.CLOSED]
    loop.backend.close()
    assert (tmp_path / "b").exists()
