"""`dejavm record`: run a machine and write everything down."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from deploy.deaths import Deaths
from deploy.environment import cache_directory
from deploy.launch import launch
from deploy.library import new_path
from deploy.options import (
    add_machine_options,
    add_on_deaths,
    gdb_place,
    machine_options,
    monitor_arguments,
)
from deploy.plan import Launch
from deploy.reporting import complain, say
from deploy.resolve import resolve_board
from deploy.snapshotting import snapshot_arguments
from machine.message import RunMode
from machine.recording.layout import LOG_NAME

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from machine.message import Status


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_machine_options(parser)
    parser.add_argument("-o", "--output", metavar="REC", help="the new directory (default: a new one in ./recordings)")
    add_on_deaths(parser)


def run(options: argparse.Namespace) -> int:
    """Record the guest to its end, then say where the recording is."""
    board = resolve_board(options.board, machine_options(options), cache_directory())
    path = new_path(options.output, board.name, datetime.now().astimezone())
    launched = Launch(
        board,
        RunMode.RECORD,
        path,
        monitor=monitor_arguments(options),
        snapshots=snapshot_arguments(options),
        # Who holds a CPU by gdb holds none that stands in for it.
        rebuild=options.on_death == "rebuild" and options.gdb is None,
        gdb=gdb_place(options),
        go_on=options.on_broker_death == "continue",
    )
    outcome = launch(launched, revive=Deaths().revive)
    for line in outcome.lines:
        complain(line)
    if path.is_dir():
        say(recorded(path, outcome.status))
    return outcome.exit_code


def recorded(path: Path, status: Status) -> str:
    """What has been recorded where, as far as the broker has told."""
    size = ((path / LOG_NAME).stat().st_size + 1023) // 1024
    return f"recorded {path}: {status.icount:,} instructions, {status.messages:,} messages, {size:,} KB"
