"""What the command makes of the environment it is called in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy import cli
from deploy.environment import cache_directory, runtime_directory
from deploy.guest.__main__ import default_cache
from deploy.guest.errors import GuestError
from machine.errors import EXIT_DONE, EXIT_USAGE, BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY_KNOWN = 54321


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container has it whose user is a mere number."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("DEJAVM_CACHE", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: NOBODY_KNOWN)


def test_who_has_no_home_needs_none_until_a_guest_is_to_be_built(no_home: None) -> None:
    assert str(cache_directory()) == "~/.cache/dejavm"
    with pytest.raises(GuestError, match="there is no home directory; set HOME, or DEJAVM_CACHE"):
        default_cache()


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory whose name leaves room for another."""
    with tempfile.TemporaryDirectory(prefix="dj-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.mark.parametrize("name", ["a b", "\u00fc", "semi;colon", "a#b"])
def test_a_runtime_directory_may_have_many_names(name: str, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / name).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / name))
    assert runtime_directory() == base / name


@pytest.mark.parametrize("name", ["b\udcff", "\u00fc" * 31, "a,b", "a:b", "a%b", "a'b", 'a"b', "a\nb"])
def test_one_that_no_socket_in_it_can_be_spoken_of_is_left_alone(
    name: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / name).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / name))
    assert runtime_directory() != base / name


def test_one_that_depends_on_where_one_stands_is_none(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    Path("rel").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "rel")
    assert runtime_directory() != Path("rel")


@pytest.mark.parametrize("level", ["", "debug", "INFO", "Warning"])
def test_a_level_of_diagnostics_may_be_spelled_in_any_way(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEJAVM_DIAGNOSTICS", level)
    with pytest.raises(SystemExit) as left:
        cli.main(["verify", "--help"])
    assert left.value.code == EXIT_DONE


def test_one_that_is_none_is_refused_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DEJAVM_DIAGNOSTICS", "chatty")
    assert cli.main(["ps"]) == EXIT_USAGE
    assert capsys.readouterr().err.startswith("dejavm: DEJAVM_DIAGNOSTICS=chatty: take one of DEBUG, ")


@pytest.mark.parametrize("words", [["-O"], []])
def test_a_python_that_takes_assertions_away_is_refused_once(words: list[str]) -> None:
    environment = {**os.environ, "PYTHONOPTIMIZE": "" if words else "1"}
    command = [sys.executable, *words, "-P", "-m", "deploy", "ps"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (EXIT_USAGE, 1)
    assert "PYTHONOPTIMIZE take away the assertions" in done.stderr


@pytest.mark.parametrize("option", ["--append", "--serial", "--nic", "--usb", "--input", "--rng"])
def test_what_is_no_text_is_kept_in_no_recording(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["record", "bare", option, "file:b\udcff"])
    assert left.value.code == EXIT_USAGE
    said = capsys.readouterr().err
    assert said == f"dejavm: argument {option}: 'file:b\\udcff' is not UTF-8; see: dejavm record --help\n"


def test_the_text_of_a_failure_fits_in_a_message() -> None:
    assert str(BackendError("b\udcff: no")).encode() == b"b\\udcff: no"
