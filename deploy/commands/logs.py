"""`dejavm logs`: the diagnostics of a machine's processes, as one stream."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Final

from deploy.host_signals import EndingSignals
from deploy.reporting import put
from deploy.supervision.diagnostics import in_order, log_files
from deploy.supervision.place import find
from machine.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    import argparse

LOOK_S: Final = 0.2


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("node", nargs="?", metavar="NODE", help="one process, or supervisord (default: all processes)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the machine is down or Ctrl-C")
    parser.add_argument("--name", metavar="N", help="the machine (default: the only one)")


def run(options: argparse.Namespace) -> int:
    """Print what there is, then what comes."""
    places = find(options.name)
    files = log_files(places.logs, options.node)
    if not files:
        known = ", ".join(sorted(path.stem for path in places.logs.glob("*.log")))
        raise UsageError(f"{places.name} has no process {options.node} here (it has: {known})")
    with EndingSignals() as signals:
        while True:
            last = not options.follow or signals.drain() > 0 or not places.directory.exists()
            for line in in_order(files, to_the_end=last):
                put(str(line))
            sys.stdout.flush()
            if last:
                return EXIT_DONE
            select.select([signals.fd], [], [], LOOK_S)
