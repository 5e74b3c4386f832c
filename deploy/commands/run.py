"""`dejavm run`: start a machine without recording it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.commands import record
from deploy.environment import cache_directory
from deploy.launch import launch
from deploy.options import (
    add_machine_options,
    add_on_deaths,
    gdb_place,
    machine_options,
    monitor_arguments,
)
from deploy.plan import Launch
from deploy.reporting import complain
from deploy.resolve import resolve_board
from deploy.snapshotting import snapshot_arguments
from machine.errors import UsageError
from machine.message import RunMode

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_machine_options(parser)
    parser.add_argument("-o", "--output", metavar="REC", help="record into this new directory")
    add_on_deaths(parser)


def run(options: argparse.Namespace) -> int:
    """Run the guest to its end."""
    if options.output is not None:
        return record.run(options)
    if snapshot_arguments(options):
        raise UsageError("--snapshot-every: there is no recording to keep snapshots in; name one with -o")
    board = resolve_board(options.board, machine_options(options), cache_directory())
    outcome = launch(Launch(board, RunMode.NONE, monitor=monitor_arguments(options), gdb=gdb_place(options)))
    for line in outcome.lines:
        complain(line)
    return outcome.exit_code
