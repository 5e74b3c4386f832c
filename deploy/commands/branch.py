"""`dejavm branch`: leave a recording at an instruction and go on live, recorded as a recording of its own."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from deploy.branching import Branch, run_branch
from deploy.commands.record import recorded
from deploy.devices import kept_backends, with_backends
from deploy.library import new_path, open_recording
from deploy.options import (
    add_device_options,
    add_gdb,
    add_monitor_options,
    add_no_reboot,
    add_on_deaths,
    device_words,
    gdb_place,
    monitor_arguments,
)
from deploy.replayable import built_files
from deploy.reporting import complain, say
from deploy.resolve import check_terminal
from deploy.snapshotting import add_snapshot_options, snapshot_arguments
from machine.board import check_board
from machine.errors import UsageError
from machine.recording.files import board_here

if TYPE_CHECKING:
    import argparse

HIGHEST: Final = (1 << 64) - 1


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "place", metavar="REC@ICOUNT", help="a recording's directory and an instruction; @ICOUNT: of the newest"
    )
    parser.add_argument(
        "-o", "--output", metavar="CHILD", help="the new directory (default: a new one in ./recordings)"
    )
    parser.add_argument(
        "--sleep", choices=("on", "off"), help="whether an idle guest waits in real time (default: as it did)"
    )
    add_device_options(parser)
    add_snapshot_options(parser)
    add_monitor_options(parser)
    add_gdb(parser)
    add_no_reboot(parser)
    add_on_deaths(parser)


def run(options: argparse.Namespace) -> int:
    """Go there, and on from there to the guest's end; then say where the branch is."""
    name, icount = parse_place(options.place)
    parent = open_recording(name)
    words = device_words(options)
    board = with_backends(board_here(parent, built_files), words)
    if options.sleep is not None:
        board = replace(board, sleep=options.sleep == "on")
    kept = kept_backends(board, words)
    check_board(board, "command line")
    check_terminal(board)
    path = new_path(options.output, board.name, datetime.now().astimezone())
    branch = Branch(
        parent, icount, board, path, monitor_arguments(options), snapshot_arguments(options), gdb_place(options),
        rebuild=options.on_death == "rebuild" and options.gdb is None,
        continues=options.on_broker_death == "continue",
    )  # fmt: skip
    if kept:
        say(f"note: opened as the recording has it: {', '.join(kept)}; the device options name other ones")
    outcome = run_branch(branch, time.time_ns())
    for line in outcome.lines:
        complain(line)
    if path.is_dir():
        say(recorded(path, outcome.status))
    return outcome.exit_code


def parse_place(text: str) -> tuple[str | None, int]:
    """A recording's directory, None for the newest, and an instruction; UsageError."""
    name, at, number = text.rpartition("@")
    if not at or not number.isascii() or not number.isdigit() or int(number) > HIGHEST:
        raise UsageError(f"{text}: no place in a recording; write it as REC@ICOUNT, such as boot.dejavm@1000000")
    return name or None, int(number)
