"""`dejavm export`: recordings in other programs' formats, each opened by that format's own reader."""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asciinema.asciicast import open_from_url
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader

from deploy import cli
from deploy.export.pcapng import ethernet_frames
from machine import message as m
from machine.board import Board, DeviceSlot
from machine.codec import encode, type_of
from machine.frame import Frame
from tests.harness.trace import read_trace
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, cut_in_the_last_chunk, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Said = tuple[int, int, int, m.Message]

NICS = Board(
    "net",
    shift=1,
    devices=(
        DeviceSlot("serial0", "serial", 0x1000_0000, 10),
        DeviceSlot("nic0", "nic", 0x1000_1000, 1),
        DeviceSlot("nic1", "nic", 0x1000_2000, 2),
    ),
)


def frames_of(said: Iterable[Said]) -> list[Frame]:
    """Frames of (icount, source, target, message)."""
    return [
        Frame(type_of(type(message)), source, target, icount, encode(message), seq)
        for seq, (icount, source, target, message) in enumerate(said, 1)
    ]


def row(*frames: bytes) -> bytes:
    """Ethernet frames in one message."""
    return b"".join(struct.pack(">H", len(f)) + f for f in frames)


def data(text: bytes) -> m.HostInput:
    """What a backend brings."""
    return m.HostInput(m.HostEvent.DATA, text)


def export(path: Path, kind: str, *options: str) -> Path:
    """Export a recording beside itself."""
    target = path.parent / f"{len(list(path.parent.iterdir()))}.{kind}"
    assert cli.main(["export", str(path), "--format", kind, "-o", str(target), *options]) == 0
    return target


TRAFFIC: Sequence[Said] = (
    (0, 0, 1, m.SyncPoint()),
    (100, 0, 1, m.SyncPoint(1_000_000_000_000)),
    (100, 0, 3, data(row(b"ping", b"pong"))),
    (100, 0, 3, m.HostInput(m.HostEvent.OPENED)),
    (200, 3, 0, m.HostOutput(row(b"first", b"second"))),
    (200, 3, 0, m.BackendResult(len(row(b"first")))),
    (300, 4, 0, m.HostOutput(row(b"other card"))),
    (300, 4, 0, m.BackendResult(100)),
    (300, 2, 0, m.HostOutput(row(b"a serial line"))),
    (300, 2, 0, m.BackendResult(100)),
    (400, 3, 0, m.HostOutput(row(b"refused"))),
    (400, 3, 0, m.BackendResult(0, 32)),
    (500, 0, 4, data(row(b"cut")[:-1])),
)


def packets(path: Path) -> list[tuple[bytes, int, bytes, str, int]]:
    """Frame, time in ns, comment, interface and direction of each packet, as scapy reads them."""
    found = []
    with RawPcapNgReader(str(path)) as reader:
        for frame, meta in reader:
            fields: dict[str, Any] = meta._asdict()
            assert (fields["linktype"], fields["tsresol"]) == (1, 10**9)
            (comment,) = fields["comments"]
            time_ns = fields["tshigh"] << 32 | fields["tslow"]
            found.append((frame, time_ns, comment, fields["ifname"].decode(), fields["direction"]))
    return found


def test_pcapng_has_both_directions_of_every_card_and_what_its_cable_took(tmp_path: Path) -> None:
    path = export(write(tmp_path / "x.dejavm", frames_of(TRAFFIC), board=NICS), "pcapng")
    second = 1_000_000_000_000
    assert packets(path) == [
        (b"ping", second + 200, b"icount=100", "nic0", 1),
        (b"pong", second + 200, b"icount=100", "nic0", 1),
        (b"first", second + 400, b"icount=200", "nic0", 2),
        (b"other card", second + 600, b"icount=300", "nic1", 2),
    ]


def test_wireshark_s_own_reader_shows_card_time_and_icount_of_every_packet(tmp_path: Path) -> None:
    path = export(write(tmp_path / "x.dejavm", frames_of(TRAFFIC), board=NICS), "pcapng")
    fields = ("frame.interface_name", "frame.time_epoch", "frame.len", "frame.comment")
    argv = ["tshark", "-r", str(path), "-T", "fields", *(word for name in fields for word in ("-e", name))]
    shown = subprocess.run(argv, capture_output=True, check=True, text=True)
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["nic0", "1000.000000200", "4", "icount=100"],
        ["nic0", "1000.000000200", "4", "icount=100"],
        ["nic0", "1000.000000400", "5", "icount=200"],
        ["nic1", "1000.000000600", "10", "icount=300"],
    ]


def test_a_guest_that_says_it_slept_longer_than_64_bits_hold_is_exported_at_their_end(tmp_path: Path) -> None:
    for_ever = m.SyncPoint((1 << 64) - 1)
    said = [(at, of, to, for_ever if isinstance(what, m.SyncPoint) else what) for at, of, to, what in TRAFFIC]
    recording = write(tmp_path / "x.dejavm", frames_of(said), board=NICS)
    assert {time_ns for _, time_ns, *_ in packets(export(recording, "pcapng"))} == {(1 << 64) - 1}
    read_trace(export(recording, "perfetto"))


def test_pcapng_of_one_card(tmp_path: Path) -> None:
    recording = write(tmp_path / "x.dejavm", frames_of(TRAFFIC), board=NICS)
    assert [p[0] for p in packets(export(recording, "pcapng", "--node", "nic1"))] == [b"other card"]


@given(frames=st.lists(st.binary(max_size=80), max_size=10), rest=st.binary(max_size=4))
@settings(deadline=None)
def test_packets_come_out_of_a_message_as_they_went_in(frames: list[bytes], rest: bytes) -> None:
    whole = row(*frames)
    assert list(ethernet_frames(whole)) == frames
    assert list(ethernet_frames(whole + rest))[: len(frames)] == frames


TYPED: Sequence[Said] = (
    (0, 0, 1, m.SyncPoint()),
    (10, 2, 0, m.HostOutput(b"caf\xc3")),
    (10, 2, 0, m.BackendResult(4)),
    (20, 2, 0, m.HostOutput(b"\xa9 \x1b[1m\xff!")),
    (20, 2, 0, m.BackendResult(8)),
    (30, 0, 1, m.SyncPoint(1_500_000_000)),
    (30, 0, 2, data(b"ls\r")),
    (30, 0, 2, m.HostInput(m.HostEvent.BREAK)),
    (40, 2, 0, m.HostOutput(b"lost")),
    (40, 2, 0, m.BackendResult(2)),
    (50, 2, 0, m.HostOutput(b"\xe2\x82")),
    (50, 2, 0, m.BackendResult(2)),
)


def test_asciicast_is_a_session_that_asciinema_reads(tmp_path: Path) -> None:
    path = export(write(tmp_path / "x.dejavm", frames_of(TYPED)), "asciicast")
    with open_from_url(str(path)) as cast:
        header, events = cast.v2_header, list(cast.events())
    assert header == {
        "version": 2,
        "width": 80,
        "height": 24,
        "title": "tiny serial0",
        "env": {"TERM": "vt220"},
        "timestamp": 1767323045,
    }
    assert events == [
        [1e-08, "o", "caf"],
        [2e-08, "o", "é \x1b[1m�!"],
        [1.50000003, "i", "ls\r"],
        [1.50000004, "o", "lo"],
        [1.50000005, "o", "�"],
    ]


@given(pieces=st.lists(st.tuples(st.binary(max_size=6), st.booleans(), st.integers(0, 9), st.integers(0, 10**9))))
@settings(max_examples=40, deadline=None)
def test_asciicast_of_anything_is_a_session(pieces: list[tuple[bytes, bool, int, int]]) -> None:
    said: list[Said] = []
    icount = 0
    for text, typed, step, idle_ns in pieces:
        icount += step
        said.append((icount, 0, 1, m.SyncPoint(idle_ns)))
        if typed:
            said.append((icount, 0, 2, data(text)))
        else:
            said += [(icount, 2, 0, m.HostOutput(text)), (icount, 2, 0, m.BackendResult(len(text)))]
    with tempfile.TemporaryDirectory() as directory:
        path = export(write(Path(directory) / "x.dejavm", frames_of(said)), "asciicast")
        with open_from_url(str(path)) as cast:
            events = list(cast.events())
    assert [e[0] for e in events] == sorted(e[0] for e in events)
    for code, typed in (("i", True), ("o", False)):
        text = b"".join(piece[0] for piece in pieces if piece[1] == typed)
        assert "".join(e[2] for e in events if e[1] == code) == text.decode(errors="replace")


def test_asciicast_wants_one_serial_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = (*BOARD.devices, DeviceSlot("serial1", "serial", 0x1000_3000, 12))
    path = write(tmp_path / "x.dejavm", frames_of(TYPED), board=replace(BOARD, devices=slots))
    assert cli.main(["export", str(path), "--format", "asciicast", "-o", str(tmp_path / "y")]) == 2
    assert "choose with --node from serial0, serial1" in capsys.readouterr().err
    with open_from_url(str(export(path, "asciicast", "--node", "serial1"))) as cast:
        assert list(cast.events()) == []


def test_a_recording_without_a_date_has_a_session_too(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm", frames_of(TYPED), facts=replace(FACTS, created="long ago"))
    assert "timestamp" not in json.loads(export(path, "asciicast").read_text().splitlines()[0])


def test_perfetto_shows_processes_calls_and_flows(tmp_path: Path) -> None:
    trace = read_trace(export(write(tmp_path / "x.dejavm"), "perfetto"))
    assert trace.processes == ["broker", "cpu", "serial0", "rtc0"]
    assert {flow: way for flow, way in trace.flows.items() if flow in (4, 6, 7)} == {
        4: ("broker", "serial0"),
        6: ("cpu", "serial0"),
        7: ("serial0", "cpu"),
    }
    assert set(trace.flows) == {frame.seq for frame in FRAMES}
    (typed,) = trace.named("serial0", "host_input")
    assert (typed.start_ns, typed.facts["icount"], typed.facts["seq"]) == (1500, 1000, 4)
    assert typed.facts["message"] == "event=data data=b'ls\\n' delay_ns=0 by_monitor=False"
    runs = [(s.name, s.start_ns, s.end_ns) for s in trace.slices if s.track == "guest"]
    assert runs == [("sleeps", 1000, 1500), ("runs", 1500, 4500), ("sleeps", 4500, 4525), ("runs", 4525, 4525)]


def test_perfetto_in_the_hosts_time_shows_how_long_things_took(tmp_path: Path) -> None:
    # Of three messages a chunk, and 100 ms later the next three.
    trace = read_trace(export(write(tmp_path / "x.dejavm"), "perfetto", "--clock", "host"))
    (access,) = trace.named("serial0", "mmio_access")
    assert (access.start_ns, access.end_ns) == (100_000_000, 200_000_000)
    assert trace.counters["cpu", "instructions"] == [(100_000_000, 0.01), (200_000_000, 0.015)]
    assert not [s for s in trace.slices if s.track == "guest"]


def test_perfetto_of_one_process(tmp_path: Path) -> None:
    trace = read_trace(export(write(tmp_path / "x.dejavm"), "perfetto", "--node", "serial0"))
    assert trace.processes[0] == "serial0"
    assert set(trace.flows) == {1, 2, 4, 5, 6, 7}


QUEUES: Sequence[Said] = (
    (0, 2, 1, m.RegisterMap((m.Register(0, m.ReadKind.FIFO), m.Register(4)))),
    (1, 2, 1, m.FifoData(b"abc")),
    (2, 1, 2, m.MmioAccess((m.Access(m.AccessKind.WRITE, 4, 1, data=b"xyz"), m.Access(m.AccessKind.POP, 0, 1, 2)))),
    (2, 2, 0, m.HostOutput(b"xyz")),
    (2, 2, 0, m.BackendResult(1)),
    (2, 2, 1, m.FifoData(b"defg")),
    (2, 2, 1, m.RegisterMap((m.Register(4),))),
    (2, 2, 1, m.RegisterMap((m.Register(0),))),
    (2, 2, 1, m.Done()),
)


def test_perfetto_counts_what_waits(tmp_path: Path) -> None:
    trace = read_trace(export(write(tmp_path / "x.dejavm", frames_of(QUEUES)), "perfetto"))
    assert {name: values for (process, name), values in trace.counters.items() if process == "serial0"} == {
        "received and not read": [(1, 3), (2, 1), (2, 5), (2, 0)],
        "gathered accesses": [(2, 5)],
        "output not taken": [(2, 2)],
    }
    (access,) = trace.named("serial0", "mmio_access")
    (output,) = trace.named("broker", "host_output")
    assert (access.end_ns, output.end_ns, access.depth, output.depth) == (2, 2, 0, 0)


@given(
    said=st.lists(
        st.tuples(
            st.sampled_from([
                m.SyncPoint(), m.SyncPoint(7), m.Reset(), data(b"x"), m.BackendResult(1), m.ClockReading(1), m.Done(),
                m.MmioAccess((m.Access(m.AccessKind.POP, 0, 1, 9),)), m.HostOutput(b"ab"), m.ClockRead(),
                m.FifoData(b"abc"), m.StateRequest(), m.Digest(m.DigestScope.ALL, b""), m.TimerExpired(1),
            ]),
            st.integers(0, 5), st.integers(0, 5), st.integers(0, 3),
        ),
        max_size=30,
    ),
    clock=st.sampled_from(["guest", "host"]),
    node=st.sampled_from([None, "cpu", "serial0"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_perfetto_of_anything_is_a_trace(
    said: list[tuple[m.Message, int, int, int]], clock: str, node: str | None
) -> None:
    rows: list[Said] = []
    icount = 0
    for message, source, target, step in said:
        icount += step
        rows.append((icount, source, target, message))
    with tempfile.TemporaryDirectory() as directory:
        recording = write(Path(directory) / "x.dejavm", frames_of(rows))
        read_trace(export(recording, "perfetto", "--clock", clock, *(["--node", node] if node else [])))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "pcapng"], "the recorded machine has no device of kind nic"),
        (["--format", "asciicast", "--node", "rtc0"], "the recorded devices of kind serial are serial0"),
        (["--format", "perfetto", "--node", "x"], "the recorded nodes are broker, cpu, serial0, rtc0"),
        (["--format", "asciicast", "--clock", "host"], "asciicast has the guest's time only"),
    ],
)
def test_what_cannot_be_had_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    path = write(tmp_path / "x.dejavm")
    assert cli.main(["export", str(path), "-o", str(tmp_path / "y"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.dejavm")
    (tmp_path / "y").write_text("mine")
    for place, words in ((tmp_path / "y", "exists already"), (tmp_path / "no" / "y", "cannot write")):
        assert cli.main(["export", str(path), "--format", "perfetto", "-o", str(place)]) == 2
        assert words in capsys.readouterr().err
    assert (tmp_path / "y").read_text() == "mine"


def test_an_export_may_go_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = write(tmp_path / "x.dejavm", frames_of(TYPED))
    assert cli.main(["export", str(path), "--format", "asciicast", "-o", "-"]) == 0
    assert capfdbinary.readouterr().out == export(path, "asciicast").read_bytes()


@pytest.mark.parametrize("kind", ["asciicast", "perfetto"])
def test_a_damaged_log_is_exported_as_far_as_it_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = write(tmp_path / "x.dejavm", frames_of(TYPED))
    cut_in_the_last_chunk(path / "log.mcap")
    assert cli.main(["export", str(path), "--format", kind, "-o", str(tmp_path / "y")]) == 4
    assert "log ends at byte" in capsys.readouterr().err
    reader: Any = read_trace if kind == "perfetto" else lambda path: json.loads(path.read_text().splitlines()[-1])
    assert reader(tmp_path / "y")
