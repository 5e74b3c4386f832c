"""`python -m machine.recording.snapshots RECORDING ID [--budget BYTES]`: writes snapshots beside a running machine.

One job a line of JSON on standard input, one answer a line on standard output (docs/log-format.md); it ends with its
input.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from machine.leaving import leave
from machine.node import die_with_parent, start_diagnostics
from machine.recording.snapshots.jobs import Jobs
from machine.recording.snapshots.writer import SnapshotWriter


def main() -> int:
    """Do every job; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m machine.recording.snapshots", description=__doc__)
    parser.add_argument("recording", type=Path, help="the recording's directory")
    parser.add_argument("id", help="its id")
    parser.add_argument("--budget", type=int, metavar="BYTES", help="how large its snapshots may be, together")
    options = parser.parse_args()
    start_diagnostics("snapshots")
    die_with_parent()
    # The machine's end is when no more jobs come; a terminal's Ctrl-C must not take one away.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs = Jobs(SnapshotWriter(options.recording, options.id, options.budget))
    # Whoever asked may have been killed meanwhile.
    with suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            os.write(sys.stdout.fileno(), (jobs.do(line) + "\n").encode())
    jobs.close()
    return 0


if __name__ == "__main__":
    leave(main())
