"""`dejavm info`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import cli
from deploy.reading.timeline import Timeline
from deploy.reading.watching import progress_text
from machine.clock import VirtualClock
from machine.codec import encode, name_of, type_of
from machine.frame import Frame
from machine.message import Done, SyncPoint
from machine.recording.chain import Chain
from machine.recording.facts import GuestFile
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAMES: Final = ("broker", "cpu", "serial0", "rtc0")
CHANNELS: Final = [
    {
        "source": NAMES[source],
        "target": NAMES[target],
        "type": name_of(kind),
        "messages": len(rows),
        "payload_bytes": sum(rows),
    }
    for source, target, kind in sorted({(f.source, f.target, f.type) for f in FRAMES})
    for rows in [[len(f.payload) for f in FRAMES if (f.source, f.target, f.type) == (source, target, kind)]]
]


def test_json_has_every_documented_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.dejavm"
    facts = replace(FACTS, files=(GuestFile("kernel", "/boot/Image", 7, "ab" * 32),))
    writer = RecordingWriter(path, BOARD, facts)
    chain = Chain()
    for frame in FRAMES:
        writer.append(frame, 5000 + 1000 * frame.seq)
        chain.add(frame)
    writer.finish()
    assert cli.main(["info", str(path), "--json"]) == 0
    size = (path / "log.mcap").stat().st_size
    assert json.loads(capsys.readouterr().out) == {
        "id": "00" * 16,
        "board": "tiny",
        "created": FACTS.created,
        "instructions": 4000,
        "virtual_ns": 4525,
        "idle_ns": 525,
        "host_ns": 8000,
        "mips": 500.0,
        "messages": 9,
        "inputs": 5,
        "log_bytes": size,
        "bytes_per_1000_instructions": size / 4,
        "clean_end": True,
        "final_digest": chain.digest().hex(),
        "parent": None,
        "continued": [],
        "files": [{"role": "kernel", "path": "/boot/Image", "size": 7, "sha256": "ab" * 32}],
        "versions": {"python": "3.11.2"},
        "cut": None,
        "states": {},
        "channels": CHANNELS,
        "timeline": {
            "span_ns": 1024,
            "busy_ns": [1000, 548, 1024, 1024, 404],
            "messages": [3, 2, 2, 0, 2],
            "inputs": [2, 1, 0, 0, 2],
        },
    }


def test_text_shows_the_messages_by_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(write(tmp_path / "x.dejavm"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "instructions  4,000" in lines
    assert "messages      9, 5 of them inputs" in lines
    assert "end           clean" in lines
    size = len(FRAMES[5].payload)
    rates = f"{1e9 / 4525:>14,.1f}{size * 1e9 / 4525:>14,.1f}"
    assert f"{1:>12}{size:>14}{rates}  cpu/mmio_access>serial0" in lines


def test_text_draws_the_run_along_virtual_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(write(tmp_path / "x.dejavm"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "idle time     0.000001 s; the guest ran for 88.4% of the time" in lines
    assert "guest runs    |@+@@=|" in lines
    assert "messages      |@** *|" in lines
    assert "inputs        |@+  @|" in lines


def test_a_message_that_is_none_does_not_stop_the_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [FRAMES[2]._replace(seq=1, payload=b"\xff"), *FRAMES[1:]]
    assert cli.main(["info", str(write(tmp_path / "x.dejavm", frames)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["idle_ns"] == 525


def test_an_empty_recording_is_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "x.dejavm", ()))
    assert cli.main(["info", path]) == 0
    assert "instructions  0" in capsys.readouterr().out.splitlines()
    assert cli.main(["info", path, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["mips"], facts["host_ns"], facts["channels"]) == (0, 0, [])


def test_progress_tells_rate_percent_and_the_time_left() -> None:
    assert progress_text(3000, 12000, 3.0) == "3,000 messages, 1,000 a second, 25%, 9 s left"
    assert progress_text(3000, 0, 3.0) == "3,000 messages, 1,000 a second"


@given(rows=st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**10)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_time_line_loses_nothing_however_long_the_run(rows: list[tuple[int, int]]) -> None:
    timeline = Timeline(VirtualClock())
    icount = 0
    for step, idle_ns in rows:
        icount += step
        timeline.add(Frame(type_of(SyncPoint), 0, 1, icount, encode(SyncPoint(idle_ns))))
        timeline.add(Frame(type_of(Done), 1, 2, icount, b""))
    assert sum(timeline.busy_ns) == icount
    assert (sum(timeline.messages), sum(timeline.inputs)) == (2 * len(rows), len(rows))
    assert all(0 <= busy <= timeline.span_ns for busy in timeline.busy_ns)
    assert timeline.end_ns == icount + sum(idle_ns for _, idle_ns in rows)


def test_a_damaged_log_is_told_as_far_as_it_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "x.dejavm") / "log.mcap"
    log.write_bytes(log.read_bytes()[:-700])
    assert cli.main(["info", str(log.parent), "--json"]) == 4
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert facts["clean_end"] is False
    assert err == f"dejavm: {facts['damage']}\n"
    assert "log ends at byte" in err


def test_what_is_no_recording_is_exit_code_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(tmp_path)]) == 4
    assert capsys.readouterr().err.count("\n") == 1
