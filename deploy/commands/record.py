"""`dejavm record`: run a machine and write everything down."""

from __future__ import annotations

from contextlib import suppress
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
from machine.errors import LogError
from machine.message import RunMode, RunState
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
    """What has been recorded where: as the broker has told, or of a run that was cut short what its log has."""
    size = ((path / LOG_NAME).stat().st_size + 1023) // 1024
    icount, messages = status.icount, status.messages
    if status.state not in (RunState.ENDED, RunState.STOPPED):
        # Imported here: it takes 40 ms, and a run that ends in order needs none of it.
        from machine.recording.reader import Recording  # noqa: PLC0415

        with suppress(LogError):
            found = Recording.open(path)
            icount, messages = found.end_icount, found.messages
    return f"recorded {path}: {icount:,} instructions, {messages:,} messages, {size:,} KB"
