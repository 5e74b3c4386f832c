"""The command without one of its standard streams, or without anybody who reads them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import pytest

from deploy import cli
from deploy.commands import info
from deploy.reporting import open_streams
from machine.errors import EXIT_DONE, EXIT_FAILED, EXIT_UNREADABLE, MachineError
from tests.unit.machine.recordings import write

if TYPE_CHECKING:
    from pathlib import Path

SPEAKS_BESIDE_A_FILE: Final = """
import sys
from deploy.reporting import open_streams
open_streams()
with open(sys.argv[1], "w") as ours:
    print("said", flush=True)
    print("complained", file=sys.stderr, flush=True)
"""


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A shell's command line, in which `"$@"` are Python and these words."""
    command = ["sh", "-c", line, "sh", sys.executable, "-P", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == EXIT_DONE
    assert capsys.readouterr().out == f"dejavm {version('dejavm')}\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_costs_nothing_else(closed: str, tmp_path: Path) -> None:
    done = shell(f'"$@" {closed}', "-m", "deploy", "info", str(write(tmp_path / "a.dejavm")))
    assert (done.returncode, done.stderr) == (EXIT_DONE, "")


def test_what_is_said_into_a_closed_stream_is_in_no_file_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "log"
    assert shell('"$@" >&- 2>&-', "-c", SPEAKS_BESIDE_A_FILE, str(file)).returncode == EXIT_DONE
    assert file.read_text() == ""


def test_who_has_read_enough_is_no_failure(tmp_path: Path) -> None:
    recording = write(tmp_path / "a.dejavm")
    line = '{ "$@"; echo $? >&2; } | true'
    assert shell(line, "-m", "deploy", "dump", str(recording)).stderr == f"{EXIT_DONE}\n"


def test_a_broken_pipe_of_another_kind_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def lose_somebody(_: object) -> int:
        here, there = socket.socketpair()
        there.close()
        with here:
            return here.send(b"word")

    monkeypatch.setattr(info, "run", lose_somebody)
    assert cli.main(["info", str(tmp_path)]) == EXIT_FAILED
    assert "Broken pipe" in capfd.readouterr().err


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["help", "verify"],
        ["info", "REC"],
        ["dump", "REC", "--json"],
        ["export", "REC", "--format", "perfetto", "-o", "-"],
    ],
)
def test_a_result_that_nobody_takes_is_a_failure_that_is_named(words: list[str], buffered: str, tmp_path: Path) -> None:
    recording = str(write(tmp_path / "a.dejavm"))
    words = [word.replace("REC", recording) for word in words]
    done = shell(f'PYTHONUNBUFFERED={buffered} "$@" >/dev/full', "-m", "deploy", *words)
    assert done.stderr == "dejavm: standard output: cannot write: No space left on device\n"
    assert done.returncode == EXIT_FAILED


def test_what_is_said_to_nobody_changes_no_exit_code(tmp_path: Path) -> None:
    recording = write(tmp_path / "a.dejavm")
    assert shell('"$@" 2>/dev/full', "-m", "deploy", "info", str(tmp_path / "b")).returncode == EXIT_UNREADABLE
    packed = shell('"$@" 2>/dev/full', "-m", "deploy", "pack", str(recording), "-o", str(tmp_path / "a.tar.zst"))
    assert (packed.returncode, packed.stdout.startswith("packed ")) == (EXIT_DONE, True)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize("name", ["\u00fc\u2603", "b\udcff"])
def test_a_name_is_told_in_any_encoding(name: str, encoding: str, tmp_path: Path) -> None:
    recording = write(tmp_path / f"{name}.dejavm")
    command = [sys.executable, "-P", "-m", "deploy", "info", str(recording)]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (EXIT_DONE, b"")
    first = done.stdout.decode(encoding).splitlines()[0]
    assert first.endswith(f"{name}.dejavm".encode(encoding, "backslashreplace").decode(encoding))


def test_a_host_without_dev_null_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "devnull", "/nowhere/null")
    with pytest.raises(MachineError, match="/nowhere/null: cannot open: No such file or directory"):
        open_streams()


def test_who_stands_in_a_directory_that_is_gone_is_told_so(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f'cd {gone}; rmdir {gone}; "$@"'
    done = shell(line, "-m", "deploy", "record", "bare", "--kernel", "/bin/true", "-o", "a.dejavm")
    assert done.stderr == "dejavm: the directory that you stand in is gone: No such file or directory\n"
    assert done.returncode == EXIT_FAILED
