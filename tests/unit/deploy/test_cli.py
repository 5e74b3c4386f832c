"""The whole command, in this process: arguments, exit codes, one line an error."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from deploy import cli, launch, library
from deploy.commands import record, replay, run
from deploy.outcome import Outcome
from machine.codec import encode, type_of
from machine.errors import UsageError
from machine.frame import Frame
from machine.message import End, PowerOffReason, RunMode, RunState, Status
from machine.recording.facts import Facts, GuestFile
from machine.recording.writer import RecordingWriter
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES, write

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.plan import Launch

ENDED = Status(RunState.ENDED, 4000, 4000, 9, 5, b"\xbe\xef")


class FakeLauncher:
    """Takes the place of launch(): remembers what it was to start, tells how it ended."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.runs: list[Launch] = []

    def __call__(self, run: Launch, **_: object) -> Outcome:
        self.runs.append(run)
        return self.outcome


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeLauncher:
    fake = FakeLauncher(Outcome(ENDED, 0, seconds=1.23456))
    monkeypatch.chdir(tmp_path)
    # verify takes it from where it is.
    for place in (replay, record, launch):
        monkeypatch.setattr(place, "launch", fake)
    return fake


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND; see: dejavm --help"),
        (["--until", "5"], "5 is no command; see: dejavm --help"),
        (["fly"], "fly is no command; see: dejavm --help"),
        (["recrod", "bare"], "recrod is no command, record is one; see: dejavm --help"),
        (["help", "recrod"], "recrod is no command, record is one; see: dejavm --help"),
        (["replay", "--until", "soon"], "invalid int value: 'soon'; see: dejavm replay --help"),
        (["run", "--sleep", "maybe"], "invalid choice"),
        (["info", "--jso"], "unrecognized arguments: --jso; see: dejavm info --help"),
        (["down", "one", "two"], "unrecognized arguments: two; see: dejavm down --help"),
        (["up", "--wait", "nan"], "argument --wait: nan is no time in seconds"),
        (["up", "--wait", "-1"], "argument --wait: -1 is no time in seconds"),
        (["down", "--timeout", "inf"], "argument --timeout: inf is no time in seconds"),
        (["up", "--metrics", "65536"], "65536 is no port, they go from 0 to 65535; see: dejavm up --help"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("dejavm: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("arguments", [["help"], ["help", "verify"]])
def test_help_is_a_word_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: dejavm", *arguments[1:]]))


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0
    assert "exit codes: 0 done" in capsys.readouterr().out


def test_replay_takes_the_newest_recording_by_its_own_date(launcher: FakeLauncher, tmp_path: Path) -> None:
    for name, created in (("a", "2026-01-02"), ("b", "2026-03-01"), ("c", "2025-12-31")):
        writer = RecordingWriter(tmp_path / "recordings" / f"{name}.dejavm", BOARD, replace(FACTS, created=created))
        writer.finish()
    (tmp_path / "recordings" / "notes.txt").touch()
    assert cli.main(["replay"]) == 0
    assert launcher.runs[0].recording is not None
    assert launcher.runs[0].recording.name == "b.dejavm"


def test_without_any_recording_replay_says_how_to_make_one(
    launcher: FakeLauncher, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay"]) == 2
    assert capsys.readouterr().err == ("dejavm: there is no recording in ./recordings; make one with: dejavm record\n")
    assert launcher.runs == []


def test_replay_asks_the_log_unless_a_serial_line_is_wanted(launcher: FakeLauncher, tmp_path: Path) -> None:
    path = str(write(tmp_path / "x.dejavm"))
    for options in ([], ["--devices", "live"], ["--serial", "pty"], ["--until", "2500"]):
        assert cli.main(["replay", path, *options]) == 0
    modes = [run.mode for run in launcher.runs]
    assert modes == [RunMode.REPLAY_LOG, RunMode.REPLAY_LIVE, RunMode.REPLAY_LIVE, RunMode.REPLAY_LOG]
    assert [run.board.device("serial0").backend for run in launcher.runs] == ["", "null", "pty", ""]
    assert [run.until for run in launcher.runs] == [None, None, None, 2500]
    assert {run.end_icount for run in launcher.runs} == {4000}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--devices", "log", "--serial", "null"], "--serial needs running devices"),
        (["--until", "4001"], "--until 4001 is outside the recording, which goes from 0 to 4000"),
        (["--until", "-1"], "which goes from 0 to 4000"),
        (["--serial", "null", "--serial", "null"], "the recording has 1 such"),
    ],
)
def test_replay_refuses_what_cannot_be(
    launcher: FakeLauncher, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    assert cli.main(["replay", str(write(tmp_path / "x.dejavm")), *options]) == 2
    assert line in capsys.readouterr().err
    assert launcher.runs == []


def test_replay_prints_where_it_stopped_as_json(
    launcher: FakeLauncher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", str(write(tmp_path / "x.dejavm")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"icount": 4000, "digest": "beef", "clean_end": True}


def test_verify_says_what_it_compared(
    launcher: FakeLauncher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(write(tmp_path / "x.dejavm")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "bit_exact": True,
        "instructions": 4000,
        "messages": 9,
        "inputs": 5,
        "final_digest": "beef",
        "seconds": 1.235,
        "clean_end": True,
    }


def test_a_recording_that_was_cut_short_says_how_far_it_goes(
    launcher: FakeLauncher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "x.dejavm", FRAMES[:3], close=False)
    said = f"{path} was not closed, the run was cut short: it is whole up to instruction 1,000, message 3"
    for command in ("replay", "verify"):
        assert cli.main([command, str(path)]) == 0
        assert f"note: {said}\n" in capsys.readouterr().err
    assert cli.main(["info", str(path)]) == 0
    assert "not closed, the run was cut short: whole up to instruction 1,000, message 3" in capsys.readouterr().out


def test_verify_names_the_divergence(
    launcher: FakeLauncher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverged = msgspec.structs.replace(ENDED, state=RunState.DIVERGED)
    launcher.outcome = Outcome(diverged, 3, ("divergence at 7/8 in cpu, done: expected 1; actual 2",))
    assert cli.main(["verify", str(write(tmp_path / "x.dejavm")), "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["bit_exact"] is False
    assert json.loads(out)["divergence"] in err


def test_a_changed_kernel_is_an_unreadable_recording(
    launcher: FakeLauncher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = tmp_path / "Image"
    kernel.write_bytes(b"new")
    facts = Facts("0" * 32, "2026-01-01", files=(GuestFile("kernel", str(kernel), 3, "ab" * 32),))
    RecordingWriter(tmp_path / "x.dejavm", BOARD, facts).finish()
    assert cli.main(["verify", str(tmp_path / "x.dejavm")]) == 4
    assert "Image: the kernel has changed since it was recorded" in capsys.readouterr().err
    assert launcher.runs == []


def test_record_says_at_last_what_it_recorded_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k").write_bytes(b"x")

    class Recorder(FakeLauncher):
        def __call__(self, run: Launch, **_: object) -> Outcome:
            assert run.recording is not None
            write(run.recording)
            return super().__call__(run)

    rebooted = msgspec.structs.replace(ENDED, power_off_reason=PowerOffReason.REBOOT)
    fake = Recorder(Outcome(rebooted, 0, ("again, please",)))
    monkeypatch.setattr(record, "launch", fake)
    assert cli.main(["record", "bare", "--kernel", "k", "-o", "mine"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "dejavm: again, please",
        f"recorded {tmp_path}/mine: 4,000 instructions, 9 messages, 5 KB",
    ]
    assert cli.main(["record", "bare", "--kernel", "k", "-o", "mine"]) == 2
    assert "mine: exists already" in capsys.readouterr().err


def test_run_records_only_if_it_is_told_where(launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "launch", launcher)
    with open("k", "wb") as file:
        file.write(b"x")
    assert cli.main(["run", "bare", "--kernel", "k"]) == 0
    assert cli.main(["run", "bare", "--kernel", "k", "-o", "r"]) == 0
    assert [launched.mode for launched in launcher.runs] == [RunMode.NONE, RunMode.RECORD]


def test_names_of_new_recordings_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first = library.new_path(None, "debian", now)
    assert first == tmp_path / "recordings" / "debian-20260102-030405-1.dejavm"
    first.mkdir(parents=True)
    assert library.new_path(None, "debian", now).name == "debian-20260102-030405-2.dejavm"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: cannot write here"):
        library.new_path(str(tmp_path / "file" / "x"), "debian", now)


def test_info_of_an_unclosed_log_is_still_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(write(tmp_path / "x.dejavm", close=False)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clean_end"] is False


def test_end_is_what_the_frames_end_with() -> None:
    # The other tests lean on it.
    assert FRAMES[-1] == Frame(type_of(End), 0, 1, 4000, encode(End(PowerOffReason.SHUTDOWN)), len(FRAMES))


def test_what_the_host_refuses_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "/there")

    monkeypatch.setattr(run, "run", refuse)
    assert cli.main(["run"]) == 1
    assert capsys.readouterr().err == "dejavm: /there: Permission denied\n"


@pytest.mark.parametrize(
    ("words", "at", "exit_code"),
    [
        (["verify"], 1500, 130),
        (["replay"], 1500, 0),
        (["replay", "--until", "2000"], 1500, 130),
        (["replay", "--until", "2000"], 2000, 0),
    ],
)
def test_a_replay_that_is_interrupted_has_not_done_what_was_asked(
    words: list[str], at: int, exit_code: int, launcher: FakeLauncher, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = str(write(tmp_path / "x.dejavm"))
    launcher.outcome = Outcome(Status(RunState.STOPPED, at, 4000, 9, 5), 0)
    assert cli.main([words[0], path, *words[1:]]) == exit_code
    said = capsys.readouterr()
    complaint = f"dejavm: {path}: interrupted; it is bit-exact as far as instruction 1,500\n"
    assert (complaint in said.err) == (exit_code == 130)
    assert "bit-exact" not in said.out
