"""`python -m replay_broker`: the broker's process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.board import Board, parse_board
from machine.errors import MachineError
from machine.leaving import leave
from machine.message import RunMode
from machine.node import Diagnostics, add_metrics, die_with_parent, start_diagnostics
from machine.recording.layout import BASE_LABEL
from replay_broker.monitor.monitor import Monitor
from replay_broker.roster import Roster
from replay_broker.server import HELLO_TIMEOUT_S, Server
from replay_broker.sockets import Sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.frame import Frame
    from machine.keys import KeyRing
    from machine.message import Message
    from machine.recording.place import Point
    from machine.recording.reader import Recording
    from replay_broker.session.base import Session
    from replay_broker.session.fork import ForkSession
    from replay_broker.snapshots.incoming import Incoming
    from replay_broker.snapshots.taker import Taker

    Begin = Callable[[Callable[[Frame], None]], Session]

MODES: Final = {
    "none": RunMode.NONE,
    "record": RunMode.RECORD,
    "replay-log": RunMode.REPLAY_LOG,
    "replay-live": RunMode.REPLAY_LIVE,
}


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
        "--hello-timeout", type=float, default=HELLO_TIMEOUT_S, metavar="S", help="how long nodes may take"
    )
    parser.add_argument(
        "--remote", metavar="HOST:PORT", help="where other hosts reach this one; control is a port higher"
    )
    parser.add_argument("--keys", type=Path, help="the directory of keys; --remote needs it")
    add_metrics(parser)
    parser.add_argument("--snapshot", type=int, default=0, metavar="N", help="start a replay from this snapshot")
    parser.add_argument("--snapshot-every", type=int, default=None, metavar="NS", help="while recording: its period")
    parser.add_argument("--snapshot-budget", type=int, default=None, metavar="BYTES", help="what all may take")
    parser.add_argument("--fork-at", type=int, default=None, metavar="ICOUNT", help="replay to there for a branch")
    parser.add_argument("--fork-into", type=Path, metavar="DIR", help="what keeps the state there")
    parser.add_argument("--fork-id", default="", metavar="ID", help="the id of the recording that begins with it")
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="record a branch, which has been prepared here")
    parser.add_argument("--supervised", action="store_true", help="SIGTERM ends the run in order")
    parser.add_argument("--on-death", choices=("rebuild", "end"), default="rebuild", help="while recording")
    return parser.parse_args(argv)


class SessionMaker:
    """Makes the session of a mode; what the mode needs is imported and read while the nodes still load."""

    def __init__(self, options: argparse.Namespace, board: Board, roster: Roster) -> None:
        self._options = options
        self._board = board
        self._roster = roster
        self._made: Begin | None = None
        self.incoming: Incoming | None = None
        self._fork: ForkSession | None = None
        if options.snapshot:
            from replay_broker.snapshots.incoming import read_incoming  # noqa: PLC0415

            self.incoming = read_incoming(options.prepared or options.recording, options.snapshot)

    def prepare(self) -> None:
        """Everything that takes time.  Called when the CPU node has been let in and loads the guest."""
        if self._made is None:
            if MODES[self._options.mode] in (RunMode.NONE, RunMode.RECORD):
                self._made = _recorder(self._options, self._board, self._roster)
            elif self._options.fork_at is not None:
                self._made = self._forker(self._options.fork_at)
            else:
                self._made = _replayer(self._options, self._roster, self.incoming)

    def begin(self, send: Callable[[Frame], None]) -> Session:
        """The session, once every node is ready: nothing is written before that."""
        self.prepare()
        assert self._made is not None
        return self._made(send)

    def _forker(self, at: int) -> Begin:
        from replay_broker.session.fork import ForkSession  # noqa: PLC0415

        replay = _opened(self._options, self._roster, self.incoming)

        def begin(send: Callable[[Frame], None]) -> Session:
            recording, start = replay()
            self._fork = ForkSession(recording, send, at, start)
            return self._fork

        return begin

    def snapshots(self, tell: Callable[[Message, int], None]) -> Taker:
        """What takes snapshots of the session that has begun."""
        if self._fork is not None:
            return self._fork_taker(self._fork, tell)
        from machine.recording.reader import Recording  # noqa: PLC0415
        from machine.recording.snapshots.store import SnapshotStore  # noqa: PLC0415
        from replay_broker.snapshots.process import StoreProcess  # noqa: PLC0415
        from replay_broker.snapshots.taker import Taker  # noqa: PLC0415

        path = self._options.recording
        recording_id = Recording.open(path).facts.id
        nodes = {member.number: name for name, member in self._roster.members.items()}
        store = StoreProcess(path, recording_id, self._options.snapshot_budget)
        first = SnapshotStore(path, recording_id).next_number()
        taker = Taker(recording_id, nodes, tell, store, first, self._options.snapshot_every)
        taker.loaded(self._options.snapshot)
        return taker

    def _fork_taker(self, session: ForkSession, tell: Callable[[Message, int], None]) -> Taker:
        """Takes the one snapshot that a branch begins with."""
        from replay_broker.snapshots.process import StoreProcess  # noqa: PLC0415
        from replay_broker.snapshots.taker import Taker  # noqa: PLC0415

        options = self._options
        nodes = {member.number: name for name, member in self._roster.members.items()}
        store = StoreProcess(options.fork_into, options.fork_id, None)
        taker = Taker(options.fork_id, nodes, tell, store, options.snapshot + 1)
        taker.loaded(options.snapshot)
        taker.request(BASE_LABEL, session.kept)
        return taker


def _recorder(options: argparse.Namespace, board: Board, roster: Roster) -> Begin:
    from replay_broker.ledger import LogLedger, NullLedger  # noqa: PLC0415
    from replay_broker.session.branch import BranchSession  # noqa: PLC0415
    from replay_broker.session.lasting import LastingSession  # noqa: PLC0415
    from replay_broker.session.record import RecordSession  # noqa: PLC0415

    if MODES[options.mode] is RunMode.NONE:
        return lambda send: RecordSession(board, send, NullLedger())
    if options.prepared is not None:
        from machine.recording.reader import Recording  # noqa: PLC0415

        facts = Recording.open(options.prepared).facts
    else:
        from machine.recording.facts import gather_facts  # noqa: PLC0415

        facts = gather_facts(board, time.time_ns())

    def begin(send: Callable[[Frame], None]) -> Session:
        known = replace(facts, states=tuple((node, tuple(states.items())) for node, states in roster.states().items()))
        ledger = LogLedger(options.recording, board, known, options.prepared)
        if known.parent is not None:
            return BranchSession(board, send, ledger, known.parent)
        return LastingSession(board, send, ledger)

    return begin


def _opened(
    options: argparse.Namespace, roster: Roster, incoming: Incoming | None
) -> Callable[[], tuple[Recording, Point]]:
    """Opens the recording that is replayed, once the nodes have said which states they have; where to begin."""
    from machine.recording.facts import check_states  # noqa: PLC0415
    from machine.recording.place import START  # noqa: PLC0415
    from machine.recording.reader import Recording  # noqa: PLC0415

    def opened() -> tuple[Recording, Point]:
        recording = Recording.open(options.recording)
        check_states(recording.facts, roster.states())
        return recording, START if incoming is None else incoming.point

    return opened


def _replayer(options: argparse.Namespace, roster: Roster, incoming: Incoming | None) -> Begin:
    from replay_broker.session.live import LiveReplaySession  # noqa: PLC0415
    from replay_broker.session.log import LogReplaySession  # noqa: PLC0415

    kind = LogReplaySession if MODES[options.mode] is RunMode.REPLAY_LOG else LiveReplaySession
    replay = _opened(options, roster, incoming)

    def begin(send: Callable[[Frame], None]) -> Session:
        recording, start = replay()
        return kind(recording, send, options.until, start)

    return begin


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

    host, _, port = options.remote.rpartition(":")
    return (f"tcp://{host}:{port}", f"tcp://{host}:{int(port) + 1}"), KeyRing(options.keys)


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
        if maker.incoming is not None:
            server.door.loads = maker.incoming.loads
        diagnostics.icount = lambda: server.session.icount if server.session is not None else 0
        server.hello_timeout_s = options.hello_timeout
        server.census.host = options.host or server.census.host
        if options.metrics is not None:
            from replay_broker.metrics import serve_metrics  # noqa: PLC0415  # only who was asked pays for it

            serve_metrics(server, options.metrics)
        if options.supervised:
            signal.signal(signal.SIGTERM, lambda *_: setattr(server, "leave_wanted", True))
        server.run()
    except (MachineError, OSError) as error:
        sys.stderr.write(f"broker: {error}\n")
        return error.exit_code if isinstance(error, MachineError) else 1
    return server.exit_code


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
