"""Commands on a full file system: one line that names a file, a documented exit code, nothing half-made left."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr
from pathlib import Path
from typing import Final

from deploy import cli
from deploy.supervision.last_word import LastWord
from deploy.supervision.place import ServicePlaces
from deploy.supervision.report import read_end
from machine.errors import EXIT_FAILED, EXIT_UNREADABLE
from tests.harness.machine import ROOT
from tests.harness.net_namespace import run_alone
from tests.harness.small_disk import APART, small_disk

DISK_BYTES: Final = 1 << 20
RECORDING: Final = str(ROOT / "tests" / "recordings" / "format-4.dejavm")


def _says(*words: str) -> str:
    """The one line with which a command fails; no file is there that was not there before."""
    before = sorted(Path().rglob("*"))
    said = io.StringIO()
    with redirect_stderr(said):
        code = cli.main(words)
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("note: ")]
    assert code in (EXIT_FAILED, EXIT_UNREADABLE), (words, lines)
    assert len(lines) == 1, (words, lines)
    assert sorted(Path().rglob("*")) == before, words
    return lines[0].removeprefix("dejavm: ")


def where_something_is_made() -> None:
    """Each names what it could not make."""
    with small_disk(DISK_BYTES) as (directory, disk):
        os.chdir(directory)
        assert cli.main(["pack", RECORDING, "-o", "packed"]) == 0
        disk.fill()
        for words, path in (
            (("export", RECORDING, "--format", "perfetto", "-o", "trace"), "trace"),
            (("pack", RECORDING, "-o", "again"), "again"),
            (("unpack", "packed", "-o", "a.dejavm"), "a.dejavm"),
            (("cut", RECORDING, "--from", "1", "-o", "b.dejavm"), "b.dejavm"),
            (("redact", RECORDING, "--channel", "serial0", "-o", "c.dejavm"), "c.dejavm"),
        ):
            line = _says(*words)
            assert line.startswith(f"{path}: "), line
            assert line.endswith(": No space left on device"), line
        os.chdir("/")


def where_machines_run() -> None:
    """The running machine's directory is named."""
    with small_disk(DISK_BYTES) as (directory, disk):
        os.environ["XDG_RUNTIME_DIR"] = str(directory)
        os.chdir(directory)
        disk.fill()
        for words in (
            ("verify", RECORDING),
            ("replay", RECORDING, "--devices", "live"),
            ("run", "bare", "--kernel", str(ROOT / "tests" / "guests" / "echo.bin"), "--serial", "null"),
            ("bisect", RECORDING),
            ("replay", RECORDING, "--gdb", "unix:there"),
        ):
            line = _says(*words)
            assert line.startswith(f"{directory}/dejavm-"), line
            assert line.endswith("/machine.toml: cannot write: No space left on device"), line
        os.chdir("/")


def where_a_machine_ends() -> None:
    """Its last word has room of its own, and waits for more when that is gone."""
    with small_disk(DISK_BYTES) as (directory, disk):
        places = ServicePlaces(directory / "m")
        places.directory.mkdir()
        word = LastWord(places)
        disk.fill()
        word.write('{"state": "FAILED"}')
        assert read_end(places) == {"state": "FAILED"}
        disk.fill()
        word.write('{"state": "ENDED"}')
        word.write_again()
        assert read_end(places) == {"state": "FAILED"}
        disk.clear()
        word.write_again()
        assert read_end(places) == {"state": "ENDED"}


def test_the_last_word_of_a_machine_is_written_where_there_is_no_room() -> None:
    run_alone(where_a_machine_ends, APART)


def test_a_command_that_finds_no_room_names_the_file_and_leaves_nothing() -> None:
    run_alone(where_something_is_made, APART)


def test_a_machine_that_finds_no_room_names_its_directory_and_leaves_nothing() -> None:
    run_alone(where_machines_run, APART)
