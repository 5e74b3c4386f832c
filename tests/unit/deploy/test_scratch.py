"""Directories that do not outlive those who use them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.scratch import PREFIX, scratch, sweep
from machine.errors import MachineError
from tests.harness.machine import ROOT, TIMEOUT_S

MAKER = """
import subprocess, sys
from pathlib import Path
from deploy.scratch import scratch
with scratch(Path(sys.argv[1])) as (directory, keeper):
    heir = subprocess.Popen(["sleep", "600"], pass_fds=(keeper,), stdout=subprocess.DEVNULL)
    print(directory, heir.pid, flush=True)
    sys.stdin.read()
"""


INTERRUPTED = """
import os, shutil, signal, sys, tempfile
from pathlib import Path
from deploy.scratch import scratch

base = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
at = {"make": tempfile.mkdtemp, "remove": shutil.rmtree}

def interrupted(what, *args, **more):
    os.kill(os.getpid(), signal.SIGINT)
    found = at[what](*args, **more)
    os.kill(os.getpid(), signal.SIGINT)
    return found

for what in at:
    try:
        if what == "make":
            tempfile.mkdtemp = lambda *args, **more: interrupted("make", *args, **more)
        else:
            tempfile.mkdtemp, shutil.rmtree = at["make"], lambda *args, **more: interrupted("remove", *args, **more)
        with scratch(base):
            assert what == "remove"
    except KeyboardInterrupt:
        print(what, list(base.iterdir()))
"""


def test_an_interrupt_while_one_is_made_or_removed_leaves_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("make []\nremove []\n", "")


def test_a_directory_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch(tmp_path) as (directory, _):
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "socket").touch()
        sweep(tmp_path)
        assert (directory / "socket").exists()
    assert list(tmp_path.iterdir()) == []


def test_what_was_left_by_the_killed_is_removed_when_the_last_of_them_has_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as maker:
        assert maker.stdout is not None
        place, heir = maker.stdout.readline().split()
        maker.kill()
        maker.wait(TIMEOUT_S)
        sweep(tmp_path)
        assert Path(place).is_dir()
        with open(os.pidfd_open(int(heir))) as end:
            os.kill(int(heir), signal.SIGKILL)
            assert select.select([end], [], [], TIMEOUT_S)[0]
    with scratch(tmp_path) as (directory, _):
        assert list(tmp_path.iterdir()) == [directory]


def test_directories_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}0").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "in-use").touch()
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_where_no_directory_can_be_made_that_is_said() -> None:
    with pytest.raises(MachineError, match="/proc: cannot make the machine's directory"), scratch(Path("/proc")):
        pass
