"""Where a branch leaves a recording, on the command line, and who is whose."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import cli
from deploy.branching import check_place
from deploy.commands.branch import parse_place
from deploy.devices import DeviceWords, with_backends
from deploy.family import families, render
from deploy.plan import Fork, Launch, Places, plan_processes
from machine.board import Board, DeviceSlot
from machine.errors import EXIT_UNREADABLE, EXIT_USAGE, LogError, UsageError
from machine.message import RunMode
from machine.recording.facts import Parent
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

SLOTS = (
    DeviceSlot("serial0", "serial", 0x1000_0000, 10, backend="stdio"),
    DeviceSlot("nic0", "nic", 0x1000_1000, 1, backend="user", options=(("mac", "52:54:00:12:34:56"),)),
    DeviceSlot("input0", "input", 0x1000_2000, 2, backend="none", options=(("type", "kbd"),)),
)
LONG = 1001
MACHINE = Board("m", devices=SLOTS)


def child_of(parent: Recording, path: Path, number: int, wanted: int) -> Recording:
    """A branch behind message 4, whatever was wanted."""
    point = parent.point(lambda frame: frame.seq <= 4)
    origin = Parent(parent.facts.id, str(parent.path), wanted, 1000, 4, point.inputs, point.chain, 500, 1)
    writer = RecordingWriter(path, BOARD, replace(FACTS, id=f"{number:032x}", parent=origin))
    for frame in FRAMES[4:]:
        writer.append(frame, 0)
    writer.finish()
    return Recording.open(path)


@pytest.mark.parametrize(
    ("text", "place"), [("a.dejavm@0", ("a.dejavm", 0)), ("@7", (None, 7)), ("we@home/b@12", ("we@home/b", 12))]
)
def test_a_place_is_a_recording_and_an_instruction(text: str, place: tuple[str | None, int]) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", "a", "a@", "a@-1", "a@1.5", "a@0x1", "a@\u0661", "a@18446744073709551616"])
def test_what_is_none_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="REC@ICOUNT"):
        parse_place(text)


def test_a_branch_has_the_devices_of_its_recording_and_the_backends_that_are_given() -> None:
    board = with_backends(MACHINE, DeviceWords(serial=("null",), nic=("none",)))
    assert [slot.backend for slot in board.devices] == ["null", "none", "none"]
    assert [slot.options for slot in board.devices] == [slot.options for slot in SLOTS]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (DeviceWords(serial=("null", "null")), "1 such devices"),
        (DeviceWords(usb=("kbd",)), "0 such devices"),
        (DeviceWords(nic=("none,mac=52:54:00:00:00:01",)), "keeps it"),
        (DeviceWords(input=("mouse",)), "keeps it"),
    ],
)
def test_other_devices_are_refused(words: DeviceWords, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_backends(MACHINE, words)


def test_a_place_outside_is_refused_with_the_range(tmp_path: Path) -> None:
    parent = Recording.open(write(tmp_path / "p"))
    check_place(parent, 0)
    check_place(parent, 4000)
    with pytest.raises(UsageError, match="from 0 to 4000"):
        check_place(parent, 4001)
    child = child_of(parent, tmp_path / "c", 1, 1000)
    with pytest.raises(UsageError, match=f"from 1000 to 4000; what is before is in its parent, {parent.path}"):
        check_place(child, 999)
    old = Recording(parent.path, parent.board, replace(parent.facts, format=2))
    with pytest.raises(LogError, match="dejavm assemble"):
        check_place(old, 1)


def test_a_damaged_recording_is_named_where_the_place_would_be(tmp_path: Path) -> None:
    path = write(tmp_path / "p")
    log = path / "log.mcap"
    log.write_bytes(log.read_bytes()[:-700])
    recording = Recording.open(path)
    with pytest.raises(LogError, match=r"log\.mcap"):
        check_place(recording, recording.end_icount + 1)


def test_the_processes_of_both_steps_are_told_what_they_are_for(tmp_path: Path) -> None:
    places = Places(tmp_path)
    fork = Launch(BOARD, RunMode.REPLAY_LIVE, tmp_path / "p", snapshot=3, fork=Fork(7, tmp_path / "s", "ab"))
    broker, cpu, *_ = plan_processes(fork, places, "python")
    words = " ".join(broker.argv)
    assert f"--snapshot 3 --fork-at 7 --fork-into {tmp_path}/s --fork-id ab" in words
    assert "--incoming" in cpu.argv
    live = Launch(BOARD, RunMode.RECORD, tmp_path / "c", snapshot=4, prepared=tmp_path / "s")
    broker, cpu, *_ = plan_processes(live, places, "python")
    assert f"--prepared {tmp_path}/s" in " ".join(broker.argv)
    assert "--incoming" in cpu.argv


def test_a_family_is_drawn_by_the_places_where_it_parts(tmp_path: Path) -> None:
    parent = Recording.open(write(tmp_path / "p"))
    late, early = (child_of(parent, tmp_path / name, n, at) for name, n, at in (("b", 2, 1000), ("a", 3, 998)))
    grandchild = child_of(late, tmp_path / "c", 4, 1000)
    lines = render(families([grandchild, late, early, parent])).splitlines()
    assert lines == [
        f"{tmp_path}/p: tiny, to 4,000",
        f"├── @998 {tmp_path}/a: tiny, to 4,000",
        f"└── @1,000 {tmp_path}/b: tiny, to 4,000",
        f"    └── @1,000 {tmp_path}/c: tiny, to 4,000",
    ]
    (orphan,) = families([grandchild])
    assert orphan.line() == f"{late.path} is not here, id {late.facts.id}"
    assert orphan.facts()["here"] is False
    assert render(()) == "no recordings"


def test_a_chain_of_a_thousand_branches_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Recording.open(write(tmp_path / "0000.dejavm")).point(lambda frame: frame.seq <= 4)
    for number in range(1, LONG):
        origin = Parent(f"{number - 1:032x}", "above", 2000, 1000, 4, place.inputs, place.chain, 500, 1)
        facts = replace(FACTS, id=f"{number:032x}", parent=origin)
        RecordingWriter(tmp_path / f"{number:04}.dejavm", BOARD, facts).abandon()
    assert cli.main(["tree", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == LONG
    assert lines[-1].startswith(f"{'    ' * (LONG - 2)}└── @2,000 {tmp_path}/{LONG - 1:04}.dejavm: tiny")
    assert cli.main(["tree", str(tmp_path), "--json"]) == 0
    # Each is in its parent's list: a reader's own stack must be as deep.
    assert capsys.readouterr().out.rstrip().endswith('"branches": []' + "}]" * LONG)


def test_the_tree_names_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "p")
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "machine.toml").write_text("nonsense")
    assert cli.main(["tree", str(tmp_path)]) == EXIT_UNREADABLE
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/p: tiny, to 4,000\n"
    assert f"{tmp_path}/q/machine.toml" in said.err
    assert cli.main(["tree", str(tmp_path / "none")]) == EXIT_USAGE


def test_the_tree_has_what_somebody_else_may_not_look_into_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.dejavm")
    hidden = (tmp_path / "b.dejavm", tmp_path / "other")
    for directory in hidden:
        directory.mkdir()

    def stat(path: Path, **more: bool) -> os.stat_result:
        # Root may look into everything.
        if path.parent in hidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return os.stat(path, **more)

    monkeypatch.setattr(Path, "stat", stat)
    assert cli.main(["tree", str(tmp_path)]) == EXIT_UNREADABLE
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'a.dejavm'}: tiny, to 4,000\n"
    assert "b.dejavm" in told.err


def test_a_branch_is_not_assembled_without_the_snapshot_it_begins_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = child_of(Recording.open(write(tmp_path / "p")), tmp_path / "c", 1, 1000)
    assert cli.main(["dump", str(child.path), "--json"]) == 0
    (tmp_path / "dump").write_text(capsys.readouterr().out)
    assert cli.main(["assemble", str(tmp_path / "dump"), "-o", str(tmp_path / "x")]) == EXIT_USAGE
    assert "dump of a branch" in capsys.readouterr().err


def test_a_branch_is_compared_with_its_parent_from_where_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = Recording.open(write(tmp_path / "p"))
    child = child_of(parent, tmp_path / "c", 1, 1000)
    cli.main(["diff", str(parent.path), str(child.path), "--json"])
    said = capsys.readouterr().out
    assert '"first": null' in said
