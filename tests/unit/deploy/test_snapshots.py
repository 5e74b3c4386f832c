"""`dejavm snapshots`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deploy import cli
from deploy.commands import snapshots
from machine.recording.reader import Recording
from machine.recording.snapshots.writer import SnapshotWriter
from tests.unit.machine.recordings import FACTS, write
from tests.unit.machine.snapshots.scenes import pages, plain, snapshot

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = write(tmp_path / "x.dejavm")
    writer = SnapshotWriter(path, FACTS.id)
    for number, icount, seq, label in ((1, 2600, 7, ""), (2, 900, 2, "early"), (3, 1200, 4, "12")):
        state = replace(snapshot(number, icount=icount, label=label), recording=FACTS.id, seq=seq)
        writer.add(state, pages(plain(number, 2)), None)
    return path


def test_json_has_every_documented_field(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["snapshots", str(recording), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    sizes = [
        sum((recording / f"snapshots/{number:08}.{kind}").stat().st_size for kind in ("snapshot", "pages"))
        for number in (2, 3, 1)
    ]
    rows = [
        {"number": 2, "icount": 900, "virtual_ns": 900, "seq": 2, "label": "early"},
        {"number": 3, "icount": 1200, "virtual_ns": 1700, "seq": 4, "label": "12"},
        {"number": 1, "icount": 2600, "virtual_ns": 3100, "seq": 7, "label": ""},
    ]
    rest = [
        {"pages": 2, "bytes": size, "nodes": ["cpu", "serial0"], "made_ns": number * 10**9}
        for size, number in zip(sizes, (2, 3, 1), strict=True)
    ]
    assert told == {
        "snapshots": [row | more for row, more in zip(rows, rest, strict=True)],
        "bytes": sum(sizes),
        "damage": [],
    }


def test_text_shows_them_by_icount(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["snapshots", str(recording)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["number", "icount", "virtual", "time", "seq", "bytes", "made", "label", "nodes"]
    assert [line.split()[:5] for line in lines[1:]] == [
        ["2", "900", "0.000001", "s", "2"],
        ["3", "1,200", "0.000002", "s", "4"],
        ["1", "2,600", "0.000003", "s", "7"],
    ]
    assert lines[1].endswith("early             cpu serial0")


def test_they_are_deleted_by_number_or_label(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["snapshots", str(recording), "--delete", "early", "--delete", "12", "--json"]) == 0
    assert [row["number"] for row in json.loads(capsys.readouterr().out)["snapshots"]] == [1]
    assert cli.main(["snapshots", str(recording), "--delete", "1"]) == 0
    assert capsys.readouterr().out == f"{recording}: no snapshots\n"
    assert cli.main(["snapshots", str(recording), "--delete", "1"]) == 2
    assert capsys.readouterr().err == "dejavm: --delete 1: there is no snapshot of this number or label\n"


def test_a_wrong_name_deletes_nothing(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["snapshots", str(recording), "--delete", "1", "--delete", "late"]) == 2
    assert "late" in capsys.readouterr().err
    assert cli.main(["snapshots", str(recording)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_damaged_one_is_told_and_can_be_deleted(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recording / "snapshots/00000003.pages"
    path.write_bytes(path.read_bytes()[:-1])
    assert cli.main(["snapshots", str(recording), "--json"]) == 4
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [row["number"] for row in told["snapshots"]] == [2, 1]
    assert err == f"dejavm: {told['damage'][0]}\n"
    assert str(path) in err
    assert cli.main(["snapshots", str(recording), "--delete", "3"]) == 0
    assert not path.exists()


def test_without_its_log_a_snapshot_has_no_virtual_time(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = recording / "log.mcap"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 4])
    assert cli.main(["snapshots", str(recording), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots"][2]["virtual_ns"] is None
    assert cli.main(["snapshots", str(recording)]) == 0
    assert capsys.readouterr().out.splitlines()[3].split()[:3] == ["1", "2,600", "-"]


def test_a_recording_without_any_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "y.dejavm")
    assert cli.main(["snapshots", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"snapshots": [], "bytes": 0, "damage": []}
    assert not (path / "snapshots").exists()


def test_a_long_recording_has_them_further_apart_where_nobody_says(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(snapshots, "make_snapshots", lambda _, every: asked.append(every))
    assert cli.main(["snapshots", str(recording), "--make"]) == 0
    monkeypatch.setattr(Recording, "end_icount", 1 << 45)
    assert cli.main(["snapshots", str(recording), "--make"]) == 0
    assert cli.main(["snapshots", str(recording), "--make", "67108864"]) == 0
    assert asked == [1 << 26, 1 << 33, 1 << 26]
