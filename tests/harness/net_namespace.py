"""A function of a test, run in a process that has a network of its own: `-m tests.harness.net_namespace MODULE:NAME`.

A new user namespace makes the process root in there, so this needs no privileges and touches nothing of the host's.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from tests.harness.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_S: Final = 60.0
APART: Final = ("unshare", "--user", "--map-root-user", "--net", "--kill-child", "--fork")
"""In front of a command line: the command has no network but what it makes itself."""
POWERLESS: Final = ("unshare", "--user")
"""In front of a command line: the command has the host's network, and may change nothing of it."""

SYSTEM_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where ip(8) is found by those who do not look there."""


def run_alone(function: Callable[[], None], apart: Sequence[str] = APART, timeout_s: float = TIMEOUT_S) -> str:
    """Run a function that can be found by name; what it printed.  AssertionError with its traceback if it fails."""
    where = f"{function.__module__}:{function.__qualname__}"
    command = [*apart, sys.executable, "-P", "-m", "tests.harness.net_namespace", where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True, env={**os.environ, "PATH": SYSTEM_PATH})


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    if os.getuid() == 0:
        ip("link", "set", "lo", "up")
    getattr(importlib.import_module(module), name)()
