"""`dejavm info`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy import cli
from machine.recording.chain import Chain
from machine.recording.facts import GuestFile
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_json_has_every_documented_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.dejavm"
    facts = replace(FACTS, files=(GuestFile("kernel", "/boot/Image", 7, "ab" * 32),))
    writer = RecordingWriter(path, BOARD, facts)
    chain = Chain()
    for frame in FRAMES:
        writer.append(frame, 0)
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
        "messages": 9,
        "inputs": 5,
        "log_bytes": size,
        "bytes_per_1000_instructions": size / 4,
        "clean_end": True,
        "final_digest": chain.digest().hex(),
        "files": [{"role": "kernel", "path": "/boot/Image", "size": 7, "sha256": "ab" * 32}],
        "versions": {"python": "3.11.2"},
    }


def test_text_shows_the_messages_by_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(write(tmp_path / "x.dejavm"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "instructions  4,000" in lines
    assert "messages      9, 5 of them inputs" in lines
    assert "end           clean" in lines
    assert f"{1:>12}{len(FRAMES[5].payload):>14}  cpu/mmio_access>serial0" in lines


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
