"""`dejavm up`: start a machine as a service."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.environment import cache_directory, import_path
from deploy.library import new_path
from deploy.options import add_machine_options, machine_options, monitor_arguments
from deploy.plan import MODE_NAMES, Launch, uses_terminal
from deploy.reporting import complain, put, say
from deploy.resolve import resolve_board
from deploy.supervision.place import claim
from deploy.supervision.processes import START_S, ServiceOptions
from deploy.supervision.report import Facts
from deploy.supervision.starting import Start, start_machine
from machine.errors import EXIT_DONE, UsageError
from machine.message import RunMode

if TYPE_CHECKING:
    import argparse

    from machine.board import Board


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_machine_options(parser)
    parser.add_argument("--record", action="store_true", help="write everything down")
    parser.add_argument("-o", "--output", metavar="REC", help="record into this new directory")
    parser.add_argument("--name", metavar="N", help="the machine's name here (default: the board's)")
    parser.add_argument(
        "--wait",
        type=float,
        default=START_S,
        metavar="S",
        help=f"how long its processes may take to come ({START_S:.0f})",
    )
    parser.add_argument(
        "--metrics", type=int, nargs="?", const=0, metavar="PORT",
        help="every process serves metrics on the loopback, from this port on; 0, or nothing: at any port",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Start it, and wait until the guest runs."""
    board = resolve_board(options.board, machine_options(options), cache_directory())
    refuse_terminals(board)
    record = options.record or options.output is not None
    recording = new_path(options.output, board.name, datetime.now().astimezone()) if record else None
    mode = RunMode.RECORD if record else RunMode.NONE
    launch = Launch(board, mode, recording, monitor=monitor_arguments(options))
    service = ServiceOptions(options.wait, options.metrics)
    places = claim(options.name if options.name is not None else name_of_board(board.name))
    names = ("broker", "cpu", *(slot.name for slot in board.devices))
    facts = Facts(board.name, MODE_NAMES[mode], str(recording or ""), "", time.time_ns(), names)
    started = start_machine(places, Start(launch, facts, str(Path.cwd()), import_path(), service))
    for line in started.diagnostics:
        say(line)
    if started.exit_code != EXIT_DONE:
        complain(f"{places.name}: {started.detail}")
        return started.exit_code
    put(f"{places.name} is up: {len(names)} processes" + (f", recording {recording}" if recording else ""))
    return EXIT_DONE


def refuse_terminals(board: Board) -> None:
    """UsageError for a device that wants a terminal, which a service has not."""
    for slot in board.devices:
        if uses_terminal(slot.backend):
            raise UsageError(
                f"{slot.name}: {slot.backend} is the terminal, and a service has none; give it another backend, "
                f"such as pty or unix:PATH,server=on,wait=off"
            )


def name_of_board(board: str) -> str:
    """A machine's name from its board's."""
    return re.sub(r"[^a-z0-9_-]+", "-", board.lower()).strip("-_")[:20] or "machine"
