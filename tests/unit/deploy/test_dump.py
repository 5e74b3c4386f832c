"""`dejavm dump`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deploy import cli
from tests.unit.machine.recordings import FRAMES, cut_in_the_last_chunk, write

if TYPE_CHECKING:
    from pathlib import Path


def dump(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, object]]:
    assert cli.main(["dump", str(path), "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_has_one_object_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = dump(write(tmp_path / "x.dejavm"), capsys)
    assert [row["seq"] for row in rows] == list(range(1, 10))
    assert rows[3] == {
        "icount": 1000,
        "seq": 4,
        "source": "broker",
        "target": "serial0",
        "type": "host_input",
        "class": "input",
        "payload": {"event": "data", "data": "6c730a", "delay_ns": 0, "by_monitor": False},
        "host_ns": 100_000_000,
    }
    assert rows[5]["class"] == "derived"
    assert rows[5]["payload"] == {
        "accesses": [
            {"kind": "read", "offset": 0, "size": 1, "value": 0, "data": ""},
            {"kind": "write", "offset": 1, "size": 4, "value": 77, "data": ""},
        ]
    }


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        (["--node", "cpu"], [2, 3, 5, 6, 7, 8, 9]),
        (["--type", "done"], [2, 5, 7]),
        (["--class", "input"], [1, 3, 4, 8, 9]),
        (["--class", "derived", "--node", "broker"], []),
        (["--from", "1000", "--to", "2500"], [3, 4, 5, 6, 7]),
        (["--node", "serial0", "--type", "done", "--from", "1"], [5, 7]),
        (["--node", "rtc0"], []),
    ],
)
def test_filters_narrow_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], seqs: list[int]
) -> None:
    assert [row["seq"] for row in dump(write(tmp_path / "x.dejavm"), capsys, *options)] == seqs


@pytest.mark.parametrize("options", [["--node", "serial7"], ["--type", "hello"]])
def test_an_unknown_filter_names_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert cli.main(["dump", str(write(tmp_path / "x.dejavm")), *options]) == 2
    assert f"{options[0]} {options[1]}: the " in capsys.readouterr().err


def test_a_span_that_ends_in_front_of_its_beginning_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "x.dejavm")
    assert cli.main(["dump", str(path), "--from", "7", "--to", "6"]) == 2
    assert "--from 7 is behind --to 6" in capsys.readouterr().err


def test_the_first_message_brings_the_machine_unless_channels_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "x.dejavm")
    machine = (path / "machine.toml").read_text()
    assert [row.get("machine") for row in dump(path, capsys, "--to", "1000")] == [machine, None, None, None, None]
    for options in (["--type", "reset"], ["--class", "input"], ["--node", "serial0"], ["--from", "1"]):
        assert not any("machine" in row for row in dump(path, capsys, *options))


def test_a_message_that_is_spelled_otherwise_keeps_its_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Field 1 of Done twice: a reader takes the last, and a writer writes one.
    path = write(tmp_path / "x.dejavm", [FRAMES[1]._replace(payload=b"\x08\x01\x08\x02", seq=1)])
    (row,) = dump(path, capsys)
    assert (row["payload"], row["raw"]) == ({"value": 2}, "08010802")
    assert "raw" not in dump(write(tmp_path / "y.dejavm"), capsys)[1]


def test_text_is_one_aligned_line_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dump", str(write(tmp_path / "x.dejavm"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == (
        "          1000         4  broker > serial0      input    host_input      "
        "event=data data=b'ls\\n' delay_ns=0 by_monitor=False"
    )
    assert lines[6].endswith("derived  done            value=108")


def test_a_payload_that_is_no_message_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.dejavm", [FRAMES[0]._replace(payload=b"\xff")])
    assert dump(path, capsys)[0]["payload"] == "ff"


def test_a_damaged_log_is_dumped_as_far_as_it_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "x.dejavm") / "log.mcap"
    cut_in_the_last_chunk(log)
    assert cli.main(["dump", str(log.parent), "--json"]) == 4
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6
    assert "good up to instruction 2500, message 6" in err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    frames = [FRAMES[0]._replace(seq=seq) for seq in range(1, 5000)]
    path = write(tmp_path / "x.dejavm", frames, chunk=5000)
    with subprocess.Popen(
        [sys.executable, "-m", "deploy", "dump", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0
