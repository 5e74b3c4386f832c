"""Processes whose launcher has gone before they could ask to be told."""

from __future__ import annotations

import os
import subprocess
import sys

from machine.leaving import LAUNCHER

WORDS = "from machine.node import die_with_parent; die_with_parent(); print('here')"


def said_behind(launcher: int) -> str:
    """What a process says whose launcher that is."""
    command = [sys.executable, "-c", WORDS]
    environment = {**os.environ, LAUNCHER: str(launcher)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def test_a_process_whose_launcher_is_there_stays() -> None:
    assert said_behind(os.getpid()) == "here\n"


def test_a_process_whose_launcher_was_killed_before_it_had_come_up_leaves() -> None:
    with subprocess.Popen(["true"]) as launcher:
        os.waitid(os.P_PID, launcher.pid, os.WEXITED | os.WNOWAIT)
        # Nobody has asked for its exit code, so it is still listed.
        assert said_behind(launcher.pid) == ""
    assert said_behind(launcher.pid) == ""
