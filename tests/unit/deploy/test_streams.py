"""The command without one of its standard streams, or without anybody who reads them."""

from __future__ import annotations

import socket
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import pytest

from deploy import cli
from deploy.commands import info
from machine.errors import EXIT_DONE, EXIT_FAILED
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
