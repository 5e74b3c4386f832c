"""`dejavm logs`: the diagnostics of a machine's processes, as one stream."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Final

from deploy.host_signals import EndingSignals
from deploy.reporting import complain, put
from deploy.supervision.diagnostics import Stream
from deploy.supervision.place import DESERTED, everybody, find
from machine.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    import argparse

HINT: Final = "{0} is a machine, not a process; print its diagnostics with: dejavm logs --name {0}"
LOOK_S: Final = 0.2


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("node", nargs="?", metavar="NODE", help="one process, or supervisord (default: all processes)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the machine is down or Ctrl-C")
    parser.add_argument("--name", metavar="N", help="the machine (default: the only one)")


def run(options: argparse.Namespace) -> int:
    """Print what there is, then what comes."""
    if options.name is None and options.node is not None:
        _refuse_machine(options.node)
    places = find(options.name, "dejavm logs --name")
    stream = Stream(places.logs, options.node)
    if options.node is not None and options.node not in places.processes:
        raise UsageError(f"{places.name} has no process {options.node} here (it has: {', '.join(places.processes)})")
    with EndingSignals() as signals:
        while True:
            deserted = places.is_deserted()
            last = not options.follow or signals.drain() > 0 or deserted or not places.directory.exists()
            for line in stream.take(to_the_end=last):
                put(str(line))
            sys.stdout.flush()
            if deserted and places.pid_file.exists():
                complain(f"{places.name}: {DESERTED.format(places.name)}")
            if last:
                return EXIT_DONE
            select.select([signals.fd], [], [], LOOK_S)


def _refuse_machine(node: str) -> None:
    """UsageError if that is no process of any machine, but the name of one."""
    machines = everybody()
    if node in (places.name for places in machines) and not any(node in places.processes for places in machines):
        raise UsageError(HINT.format(node))
