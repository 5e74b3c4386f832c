"""`dejavm up`: start a machine as a service."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.environment import cache_directory, import_path
from deploy.library import new_path
from deploy.options import add_machine_options, add_on_deaths, gdb_place, machine_options, monitor_arguments
from deploy.parser import port, seconds
from deploy.plan import MODE_NAMES, Launch, uses_terminal
from deploy.reporting import complain, put, say
from deploy.resolve import resolve_board, resolve_placement
from deploy.snapshotting import snapshot_arguments
from deploy.supervision.processes import START_S, ServiceOptions
from deploy.supervision.report import Facts
from deploy.supervision.starting import Start, start_machine
from machine.errors import EXIT_DONE, UsageError
from machine.message import RunMode

if TYPE_CHECKING:
    import argparse

    from deploy.placement import Placement
    from machine.board import Board


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_machine_options(parser)
    add_on_deaths(parser)
    parser.add_argument("--record", action="store_true", help="write everything down")
    parser.add_argument("-o", "--output", metavar="REC", help="record into this new directory")
    parser.add_argument("--host", default="", metavar="H", help="which of the board's hosts this is")
    parser.add_argument("--keys", metavar="DIR", help="the keys of a board with several hosts (dejavm keygen)")
    parser.add_argument("--name", metavar="N", help="the machine's name here (default: the board's)")
    parser.add_argument(
        "--wait",
        type=seconds,
        default=START_S,
        metavar="S",
        help=f"how long its processes may take to come and to be ready ({START_S:.0f})",
    )
    parser.add_argument(
        "--metrics", type=port, nargs="?", const=0, metavar="PORT",
        help="every process serves metrics on the loopback, from this port on; 0, or nothing: at any port",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Start it, and wait until the guest runs."""
    board = resolve_board(options.board, machine_options(options), cache_directory())
    placement = resolve_placement(options.board)
    check_host(placement, options)
    processes = ("broker", "cpu", *(slot.name for slot in board.devices))
    own = tuple(name for name in processes if placement.host_of(name) == options.host)
    refuse_terminals(board, own)
    launch = _launch(options, board, own)
    keys = Path(options.keys).absolute() if options.keys is not None else None
    service = ServiceOptions(options.wait, options.metrics, placement=placement, host=options.host, keys=keys)
    name = options.name if options.name is not None else name_of_board(board.name)
    start = Start(launch, _facts(launch, service, own), str(Path.cwd()), import_path(), service)
    started = start_machine(name, start, say)
    if started.exit_code != EXIT_DONE:
        complain(f"{name}: {started.detail}")
        return started.exit_code
    into = f", recording {launch.recording}" if launch.recording else ""
    put(f"{name} is up: {len(own)} processes{into}")
    return EXIT_DONE


def _launch(options: argparse.Namespace, board: Board, own: tuple[str, ...]) -> Launch:
    """The run; its recording is where the broker is."""
    record = options.record or options.output is not None
    recording = None
    if record and "broker" in own:
        recording = new_path(options.output, board.name, datetime.now().astimezone())
    mode = RunMode.RECORD if record else RunMode.NONE
    snapshots = snapshot_arguments(options)
    if snapshots and not record:
        raise UsageError("--snapshot-every: there is no recording to keep snapshots in; add --record")
    return Launch(
        board, mode, recording, monitor=monitor_arguments(options), snapshots=snapshots,
        gdb=gdb_place(options),
        # Who holds a CPU by gdb holds none that stands in for it.
        rebuild=options.on_death == "rebuild" and options.gdb is None,
        # Whether it is recorded is said where the broker is.
        go_on=(record or "broker" not in own) and options.on_broker_death == "continue",
    )  # fmt: skip


def _facts(launch: Launch, service: ServiceOptions, own: tuple[str, ...]) -> Facts:
    return Facts(
        board=launch.board.name,
        mode=MODE_NAMES[launch.mode],
        recording=str(launch.recording or ""),
        host=service.host,
        started_ns=time.time_ns(),
        nodes=own,
        control="" if "broker" in own else service.placement.broker_control,
        keys=str(service.keys or ""),
    )


def check_host(placement: Placement, options: argparse.Namespace) -> None:
    """UsageError unless --host and --keys are what the board needs."""
    hosts = ", ".join(sorted(placement.hosts))
    if placement.hosts and options.host not in placement.hosts:
        raise UsageError(f"say with --host which of the board's hosts this is: {hosts}")
    if placement.hosts and options.keys is None:
        raise UsageError("the board's processes are on several hosts: name their keys with --keys DIR (dejavm keygen)")
    if not placement.hosts and (options.host or options.keys):
        raise UsageError(f"board {options.board} has no [hosts]: --host and --keys are for a board that has")


def refuse_terminals(board: Board, own: tuple[str, ...]) -> None:
    """UsageError for a device of this host that wants a terminal, which a service has not."""
    for slot in board.devices:
        if slot.name in own and uses_terminal(slot.backend):
            raise UsageError(
                f"{slot.name}: {slot.backend} is the terminal, and a service has none; give it another backend, "
                f"such as pty or unix:PATH,server=on,wait=off"
            )


def name_of_board(board: str) -> str:
    """A machine's name from its board's."""
    return re.sub(r"[^a-z0-9_-]+", "-", board.lower()).strip("-_")[:20] or "machine"
