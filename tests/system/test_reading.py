"""Recordings of real machines, read: dumped and assembled again, compared, exported, opened by other programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from asciinema.asciicast import open_from_url
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from scapy.layers.inet import ICMP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader

from machine.recording.reader import Recording
from tests.harness.guests import echo_script, guest, shell_script
from tests.harness.machine import console, final_digest, typed
from tests.harness.trace import read_trace
from tests.harness.trace_processor import query

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

NAP_NS: Final = 3_000_000_000
CARDS: Final = ("52:54:00:12:34:56", "52:54:00:00:00:99")
PINGS: Final = (
    "unshare -n sleep 1000 & sleep 1; P=$!",
    "ip link set eth1 netns $P",
    "nsenter -t $P -n ip addr add 10.5.5.1/24 dev eth1",
    "nsenter -t $P -n ip link set eth1 up",
    "ip addr add 10.5.5.2/24 dev eth0; ip link set eth0 up",
    "until ping -c 1 -W 1 10.5.5.1 >/dev/null; do :; done",
    "ping -c 3 -s 1000 10.5.5.1",
)
"""Two cards of one guest, one of them in a network of its own, that hear each other over the host."""

COMPLAINTS: Final = "select name, value from stats where severity in ('error', 'data_loss') and value > 0"
PROCESSES: Final = """
    select process.name, count(distinct process_track.name) from process
    join process_track using (upid) where process_track.name = 'messages' group by upid order by pid
"""
"""Each process has one track of messages, which bears its name."""
FLOWS: Final = """
    with half as (
        select slice.id, process.name as process, extract_arg(slice.arg_set_id, 'debug.seq') as seq
        from slice join process_track on slice.track_id = process_track.id join process using (upid)
    )
    select a.process as source, a.seq as said, b.process as target, b.seq as heard
    from flow join half a on flow.slice_out = a.id join half b on flow.slice_in = b.id order by b.seq
"""
SLICES: Final = """
    select process.name as process, process_track.name as track, slice.name as what, count() as number
    from slice join process_track on slice.track_id = process_track.id join process using (upid) group by 1, 2, 3
"""
COUNTERS: Final = """
    select process.name as process, t.name as track, ts, value
    from counter join process_counter_track t on counter.track_id = t.id join process using (upid)
"""


def record_echo(home: Home, *lines: str, name: str = "a") -> Path:
    script = home.script(echo_script(*lines), f"{name}.txt")
    return home.record("bare", "--kernel", guest("echo"), "--serial", script, name=name)


def assemble(home: Home, rows: str, name: str = "again") -> Path:
    """The recording that a dump is of."""
    path = home.work / f"{name}.dejavm"
    done = home.run("assemble", "-", "-o", path, stdin=rows.encode())
    assert done.exit_code == 0, done.stderr
    return path


def test_a_dump_is_assembled_to_the_same_recording_which_replays(home: Home) -> None:
    recording = record_echo(home, "hello")
    again = assemble(home, home.run("dump", recording, "--json").stdout)
    assert list(Recording.open(again).frames()) == list(Recording.open(recording).frames())
    assert home.run("diff", recording, again).exit_code == 0
    assert home.verify_both_ways(again) == final_digest(recording)


def test_a_forged_message_is_found_by_diff_and_by_the_replay_at_the_same_place(home: Home) -> None:
    recording = record_echo(home, "hello")
    rows = [json.loads(line) for line in home.run("dump", recording, "--json").stdout.splitlines()]
    row = next(row for row in rows if row["type"] == "mmio_access" and row["payload"]["accesses"][0]["data"])
    row["payload"]["accesses"][0]["data"] = b"JELLO".hex()
    forged = assemble(home, "\n".join(map(json.dumps, rows)), "forged")
    compared = home.run("diff", recording, forged, "--json")
    assert compared.exit_code == 3
    first = compared.json["first"]
    assert (first["seq"], first["process"], first["type"]) == (row["seq"], "cpu", "mmio_access")
    assert first["b"] == "accesses[0].data=4a454c4c4f"
    assert compared.json["messages"]["differing"] == 1
    diverged = home.run("verify", forged)
    assert diverged.exit_code == 3
    words = f"divergence at {first['icount']}/{first['seq']} in cpu, mmio_access"
    assert f"{words}: expected {first['b']}; actual {first['a']}" in diverged.stderr


def test_two_runs_of_a_guest_without_inputs_are_the_same_run(home: Home) -> None:
    a, b = (home.record("bare", "--kernel", guest("counters"), "--serial", "null", name=name) for name in "ab")
    done = home.run("diff", a, b)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "all the same" in done.stdout


def test_diff_of_two_sessions_shows_what_was_typed(home: Home) -> None:
    a, b = record_echo(home, "hello", name="a"), record_echo(home, "hallo", name="b")
    done = home.run("diff", a, b, "--json")
    assert done.exit_code == 3
    assert [row["key"] for row in done.json["machine"]] == ["device.serial0.backend"]
    text = home.run("diff", a, b).stdout
    assert "first difference at" in text
    assert "broker/host_input>serial0" in text


def test_info_tells_how_long_the_guest_slept(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("nap"), "--serial", "null", "--sleep", "off")
    facts = home.run("info", recording, "--json").json
    assert NAP_NS - facts["instructions"] <= facts["idle_ns"] <= NAP_NS <= facts["virtual_ns"]
    assert facts["virtual_ns"] == facts["idle_ns"] + facts["instructions"]
    assert facts["host_ns"] > 0
    assert facts["mips"] == pytest.approx(facts["instructions"] * 1e3 / facts["host_ns"], abs=1e-3)
    assert sum(row["messages"] for row in facts["channels"]) == facts["messages"] == sum(facts["timeline"]["messages"])
    assert sum(facts["timeline"]["busy_ns"]) == facts["instructions"]


def test_mcaps_own_decoder_reads_what_dump_prints(home: Home) -> None:
    recording = record_echo(home, "hello")
    rows = [json.loads(line) for line in home.run("dump", recording, "--json").stdout.splitlines()]
    with (recording / "log.mcap").open("rb") as file:
        reader: Any = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        channels = reader.get_summary().channels.values()
        topics = [channel.topic for channel in channels if channel.message_encoding == "protobuf"]
        found = list(reader.iter_decoded_messages(topics, log_time_order=False))
    assert [(m.message.sequence, m.message.log_time, m.message.publish_time) for m in found] == [
        (row["seq"], row["icount"], row["host_ns"]) for row in rows
    ]
    for m, row in zip(found, rows, strict=True):
        assert m.channel.topic == f"{row['source']}/{row['type']}>{row['target']}"
        if row["type"] in ("host_input", "host_output", "dma_write", "fifo_data"):
            assert m.decoded_message.data.hex() == row["payload"]["data"]


def test_asciinema_shows_the_session(home: Home) -> None:
    recording = record_echo(home, "hello", "again")
    cast = home.work / "session.cast"
    done = home.run("export", recording, "--format", "asciicast", "-o", cast)
    assert done.exit_code == 0, done.stderr
    with open_from_url(str(cast)) as session:
        events = list(session.events())
    assert "".join(text for _, code, text in events if code == "o").encode() == console(recording)
    assert "".join(text for _, code, text in events if code == "i").encode() == typed(recording)
    # The whole program, too, as a user has it.
    shown = subprocess.run(
        [sys.executable, "-m", "asciinema", "cat", str(cast)], capture_output=True, check=True, env=home.environment()
    )
    assert shown.stdout == console(recording)


@pytest.mark.parametrize("clock", ["guest", "host"])
def test_perfettos_schema_reads_the_time_line(home: Home, clock: str) -> None:
    recording = record_echo(home, "hello")
    path = home.work / "trace"
    done = home.run("export", recording, "--format", "perfetto", "--clock", clock, "-o", path)
    assert done.exit_code == 0, done.stderr
    trace = read_trace(path)
    frames = list(Recording.open(recording).frames())
    assert trace.processes == ["broker", "cpu", "serial0", "rtc0"]
    assert set(trace.flows) == {frame.seq for frame in frames}
    assert len(trace.named("serial0", "mmio_access")) == sum(frame.type == 64 for frame in frames)
    assert trace.counters["serial0", "received and not read"][-1][1] == 0
    end_ns = max(s.end_ns or 0 for s in trace.slices)
    info = home.run("info", recording, "--json").json
    assert end_ns == info["virtual_ns" if clock == "guest" else "host_ns"]


@pytest.mark.parametrize("clock", ["guest", "host"])
def test_perfettos_trace_processor_reads_the_time_line(home: Home, clock: str) -> None:
    recording = record_echo(home, "hello")
    path = home.work / "trace"
    done = home.run("export", recording, "--format", "perfetto", "--clock", clock, "-o", path)
    assert done.exit_code == 0, done.stderr
    trace, names = read_trace(path), ("broker", "cpu", "serial0", "rtc0")
    complaints, processes, flows, slices, counters = query(path, COMPLAINTS, PROCESSES, FLOWS, SLICES, COUNTERS)
    assert complaints == []
    assert processes == [(name, 1) for name in names]
    sent = [(names[f.source], f.seq, names[f.target], f.seq) for f in Recording.open(recording).frames()]
    assert flows == sent
    expected = Counter((s.process, s.track, s.name) for s in trace.slices)
    assert {row[:3]: row[3] for row in slices} == expected
    values = {
        (process, track, time_ns, value) for (process, track), rows in trace.counters.items() for time_ns, value in rows
    }
    assert set(counters) == values
    assert {"instructions", "received and not read", "gathered accesses"} <= {track for _, track, _, _ in counters}


def test_perfettos_trace_processor_refuses_what_is_no_trace(home: Home) -> None:
    with pytest.raises(AssertionError):
        query(home.work / home.file("x", "nothing of the kind"), PROCESSES)


@pytest.mark.debian
@pytest.mark.timeout(300)
def test_a_debian_session_is_dumped_and_assembled_and_replays(home: Home) -> None:
    script = home.script(shell_script("uname -m"))
    recording = home.record("--memory", "128M", "--sleep", "off", "--serial", script)
    again = assemble(home, home.run("dump", recording, "--json").stdout)
    assert home.verify(again, "--devices", "log") == final_digest(recording)
    assert home.run("diff", recording, again).exit_code == 0


@pytest.mark.debian
@pytest.mark.timeout(300)
def test_exported_packets_are_those_that_were_captured(home: Home) -> None:
    captures = [home.work / f"{name}.pcapng" for name in ("nic0", "nic1")]
    words = [f"hub,id=1,mac={mac},pcap={path}" for mac, path in zip(CARDS, captures, strict=True)]
    script = home.script(shell_script(*PINGS))
    recording = home.record("--memory", "128M", "--serial", script, "--nic", words[0], "--nic", words[1])
    assert b"3 packets transmitted, 3 packets received" in console(recording)
    whole = home.work / "all.pcapng"
    assert home.run("export", recording, "--format", "pcapng", "-o", whole).exit_code == 0
    exported = packets(whole)
    for name, capture in zip(("nic0", "nic1"), captures, strict=True):
        assert [row[1:] for row in exported if row[0] == name] == [row[1:] for row in packets(capture)]
    assert sum(ICMP in Ether(frame) for _, frame, _, _ in exported) >= 12


def packets(path: Path) -> list[tuple[str, bytes, bytes, int]]:
    """Interface, frame, comment and direction of each packet of a capture."""
    with RawPcapNgReader(str(path)) as reader:
        rows = [(frame, meta._asdict()) for frame, meta in reader]
    return [(meta["ifname"].decode(), frame, meta["comments"][0], meta["direction"]) for frame, meta in rows]
