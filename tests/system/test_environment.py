"""Machines in other people's environments: locales, terminals that go away, little of what a host may give."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.guests import echo_script, guest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_FAILED = 1
EXIT_USAGE = 2
ASCII: Final[Mapping[str, str]] = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
TEXT: Final = "name=\u00fc\u2603"


def _echo(home: Home) -> tuple[str | Path, ...]:
    return "bare", "--kernel", guest("echo"), "--serial", home.script(echo_script("a"))


def test_a_recording_is_the_same_in_every_locale(home: Home) -> None:
    path = home.record(*_echo(home), "--append", TEXT, name="\u00fc", env=ASCII)
    assert Recording.open(path).board.append == TEXT
    assert home.verify_both_ways(path, env=ASCII) == home.verify_both_ways(path)
    assert home.verify(home.record(*_echo(home), "--append", TEXT, name="b"), env=ASCII)


def test_the_seed_of_python_s_hashes_changes_nothing(home: Home) -> None:
    path = home.record(*_echo(home), env={"PYTHONHASHSEED": "1"})
    assert home.verify_both_ways(path, env={"PYTHONHASHSEED": "2"}) == home.verify(path, "--jobs", "2")


def test_a_run_whose_terminal_goes_away_ends_in_order(home: Home) -> None:
    path = home.work / "a.dejavm"
    argv = home.argv("record", "bare", "--kernel", guest("echo"), "-o", path)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home.work)
        os.execvpe(argv[0], argv, home.environment())  # noqa: S606  # no shell
    with os.fdopen(terminal, "rb", buffering=0) as said:
        assert said.readline() == b"READY\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Recording.open(path).clean_end


def test_no_module_of_the_users_is_imported(home: Home) -> None:
    for name in ("sitecustomize", "random", "logging", "machine", "devices", "replay_broker", "cpu_node", "zmq"):
        home.file(f"{name}.py", "raise SystemExit('imported')\n")
    path = home.record(*_echo(home))
    home.verify_both_ways(path)
    assert home.run("analyse", path).exit_code == 0
    assert home.run("snapshots", path, "--make", "20000").exit_code == 0
    assert home.run("bisect", path).exit_code == 0


def test_a_recording_whose_name_is_no_text_is_replayed_and_not_branched_from(home: Home) -> None:
    path = home.record(*_echo(home), name="b\udcff")
    home.verify_both_ways(path)
    assert home.run("snapshots", path, "--make", "20000").exit_code == 0
    there = [home.run("replay", path, word, "50000", "--json") for word in ("--until", "--seek")]
    assert [done.exit_code for done in there] == [0, 0], there[1].stderr
    assert there[0].json == there[1].json
    done = home.run("branch", f"{path}@50000", "--serial", "null", "-o", "child.dejavm")
    assert (done.exit_code, "is not UTF-8; give the recording another name" in done.complaint) == (EXIT_USAGE, True)
    assert not (home.work / "child.dejavm").exists()


def test_a_service_that_may_open_too_few_files_says_so(home: Home) -> None:
    up = home.argv("up", "bare", "--kernel", guest("echo"), "--serial", "null")
    done = home.start_argv(["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *up]).finish()
    assert (done.exit_code, "number of file descriptors" in done.complaint) == (EXIT_FAILED, True), done.stderr


def test_a_service_where_paths_are_no_text_says_so(home: Home) -> None:
    path = home.work / "b\udcff.dejavm"
    done = home.run("up", "bare", "--kernel", guest("echo"), "--serial", "null", "--record", "-o", path)
    assert (done.exit_code, "is not UTF-8" in done.complaint) == (EXIT_USAGE, True), done.stderr
