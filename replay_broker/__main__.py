"""`python -m replay_broker`: the broker's process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from machine.board import Board, parse_board
from machine.errors import MachineError
from machine.leaving import leave
from machine.message import RunMode
from machine.node import Diagnostics, add_metrics, die_with_parent, start_diagnostics
from machine.shown import shown_line
from replay_broker.barrier import HELLO_TIMEOUT_S
from replay_broker.making import MODES, SessionMaker
from replay_broker.monitor.monitor import Monitor
from replay_broker.roster import Roster
from replay_broker.server import Server
from replay_broker.sockets import Sockets, make_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.keys import KeyRing


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The broker's command line."""
    parser = argparse.ArgumentParser(prog="replay_broker")
    parser.add_argument("--board", required=True, type=Path, help="the resolved board file")
    parser.add_argument("--bus", required=True, help="endpoint for the machine's nodes")
    parser.add_argument("--control", required=True, help="endpoint for control clients")
    parser.add_argument("--mode", required=True, choices=sorted(MODES))
    parser.add_argument("--recording", type=Path, help="the recording's directory")
    parser.add_argument("--qmp", action="append", default=[], metavar="ADDRESS", help="where QMP is spoken, too")
    parser.add_argument("--monitor", action="append", default=[], metavar="ADDRESS", help="the line mode, likewise")
    parser.add_argument("--until", type=int, default=None, metavar="ICOUNT", help="where the CPU was told to stop")
    parser.add_argument("--host", default="", help="what this host is called")
    parser.add_argument(
        "--hello-timeout", type=float, default=HELLO_TIMEOUT_S, metavar="S", help="how long nodes may take to come"
    )
    parser.add_argument(
        "--ready-timeout", type=float, default=None, metavar="S", help="and until they are ready (default: for ever)"
    )
    parser.add_argument(
        "--remote", metavar="HOST:PORT", help="where other hosts reach this one; control is a port higher"
    )
    parser.add_argument("--keys", type=Path, help="the directory of keys; --remote needs it")
    add_metrics(parser)
    parser.add_argument("--paused", action="store_true", help="the guest stands still in front of everything")
    parser.add_argument("--snapshot", type=int, default=0, metavar="N", help="start a replay from this snapshot")
    parser.add_argument("--snapshot-every", type=int, default=None, metavar="NS", help="while recording: its period")
    parser.add_argument("--snapshot-budget", type=int, default=None, metavar="BYTES", help="what all may take")
    parser.add_argument("--fork-at", type=int, default=None, metavar="ICOUNT", help="replay to there for a branch")
    parser.add_argument("--fork-asleep", action="store_true", help="to the log's end, if the guest sleeps there")
    parser.add_argument("--fork-into", type=Path, metavar="DIR", help="what keeps the state there")
    parser.add_argument("--fork-id", default="", metavar="ID", help="the id of the recording that begins with it")
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="record a branch, which has been prepared here")
    parser.add_argument("--supervised", action="store_true", help="SIGTERM ends the run in order")
    parser.add_argument("--on-death", choices=("rebuild", "end"), default="rebuild", help="while recording")
    parser.add_argument("--no-reboot", action="store_true", help="a restart ends the run")
    parser.add_argument("--go-on", action="store_true", help="with the recording, if another broker has begun it")
    return parser.parse_args(argv)


def open_monitor(options: argparse.Namespace, board: Board) -> Monitor:
    """The monitor, listening; UsageError names an address that cannot be."""
    directory = os.environ.get("DEJAVM_RUN_DIRECTORY")
    recording = "" if options.recording is None else str(options.recording)
    monitor = Monitor(board, recording, Path(directory) if directory else None)
    monitor.open(options.qmp, options.monitor)
    return monitor


def remote_ends(options: argparse.Namespace) -> tuple[tuple[str, str] | None, KeyRing | None]:
    """Where nodes and clients of other hosts come in, and the keys."""
    if options.remote is None:
        return None, None
    from machine.keys import KeyRing  # noqa: PLC0415  # only a machine of several hosts has keys

    make_room()
    host, _, port = options.remote.rpartition(":")
    return (f"tcp://{host}:{port}", f"tcp://{host}:{int(port) + 1}"), KeyRing(options.keys)


def tell_past(server: Server, maker: SessionMaker, *, goes_on: bool) -> None:
    """What nodes are told that do not begin at power-on; `goes_on`: another broker may come behind this one."""
    server.door.loads = maker.loads()
    server.door.continued = maker.continued
    server.door.changed = server.changes.since
    if goes_on:
        path, last = maker.continued
        server.changes.keep(Path(os.environ["DEJAVM_RUN_DIRECTORY"]), last if path else None)


def main(argv: Sequence[str]) -> int:
    """Serve one run; the exit code says whether the broker itself could."""
    options = parse(argv)
    diagnostics = Diagnostics()
    start_diagnostics("broker", diagnostics)
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        board = parse_board(options.board.read_text(), str(options.board))
        mode = MODES[options.mode]
        devices = () if mode is RunMode.REPLAY_LOG else tuple(slot.name for slot in board.devices)
        roster = Roster.of(("cpu", *devices))
        maker = SessionMaker(options, board, roster)
        monitor = open_monitor(options, board)
        sockets = Sockets(options.bus, options.control, *remote_ends(options))
        rebuild = options.on_death == "rebuild"
        server = Server(sockets, roster, mode, maker.begin, maker.prepare, monitor, rebuild=rebuild)
        if options.recording is not None:
            server.rebuilder.recording = options.recording
            server.make_taker = lambda: maker.snapshots(server.outbox.say)
            server.make_travel = lambda: maker.travel(server, server.outbox.queue)
        tell_past(server, maker, goes_on=options.go_on)
        diagnostics.icount = lambda: server.session.icount if server.session is not None else 0
        server.barrier.allow(options.hello_timeout, None if maker.continued[0] else options.ready_timeout)
        server.census.host = options.host or server.census.host
        if options.remote is not None:
            from replay_broker.supplies import Supplies  # noqa: PLC0415  # only a machine of several hosts has any

            server.door.supplies = Supplies(server.census.host, server.outbox.tell)
        if options.metrics is not None:
            from replay_broker.metrics import serve_metrics  # noqa: PLC0415  # only who was asked pays for it

            serve_metrics(server, options.metrics)
        if options.supervised:
            signal.signal(signal.SIGTERM, lambda *_: setattr(server, "leave_wanted", True))
        server.run()
    except (MachineError, OSError) as error:
        sys.stderr.write(shown_line(f"broker: {error}") + "\n")
        return error.exit_code if isinstance(error, MachineError) else 1
    return server.exit_code


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
