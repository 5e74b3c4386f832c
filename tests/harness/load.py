"""A loaded host: one busy process a core, for as long as a test wants it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY: Final = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100000))"
"""Ends by itself when the tests are killed."""


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy."""
    count = len(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-I", "-S", "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
