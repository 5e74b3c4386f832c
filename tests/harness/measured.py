"""Runs one process and writes down the most memory it had, in bytes: `measured FILE ARGV...`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

KIB: Final = 1024
"""The unit of ru_maxrss (getrusage(2))."""


def main(argv: list[str]) -> int:
    """The exit code is the process's own."""
    pid = os.posix_spawn(argv[1], argv[1:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    Path(argv[0]).write_text(str(usage.ru_maxrss * KIB))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
