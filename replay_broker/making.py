"""Making a run's session, what takes its snapshots and what goes to its places; each is imported where it is needed."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.message import Load, RunMode
from machine.recording.layout import BASE_LABEL

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from machine.board import Board
    from machine.frame import Frame
    from machine.message import Message
    from machine.recording.facts import Parent
    from machine.recording.place import Point
    from machine.recording.reader import Recording
    from replay_broker.going_on import GoingOn
    from replay_broker.roster import Roster
    from replay_broker.session.base import Session
    from replay_broker.session.branch import Beginning
    from replay_broker.session.fork import ForkSession
    from replay_broker.snapshots.incoming import Incoming
    from replay_broker.snapshots.taker import Taker
    from replay_broker.travel import Host, Travel

    Begin = Callable[[Callable[[Frame], None]], Session]

MODES: Final = {
    "none": RunMode.NONE,
    "record": RunMode.RECORD,
    "replay-log": RunMode.REPLAY_LOG,
    "replay-live": RunMode.REPLAY_LIVE,
}


class SessionMaker:
    """Makes the session of a mode; what the mode needs is imported and read while the nodes still load."""

    def __init__(self, options: argparse.Namespace, board: Board, roster: Roster) -> None:
        self._options = options
        self._board = board
        self._roster = roster
        self._made: Begin | None = None
        self.incoming: Incoming | None = None
        self._fork: ForkSession | None = None
        self._going_on: GoingOn | None = None
        if options.go_on:
            self._find_begun(options)
        if options.snapshot and self.incoming is None:
            from replay_broker.snapshots.incoming import read_incoming  # noqa: PLC0415

            self.incoming = read_incoming(options.prepared or options.recording, options.snapshot)

    @property
    def continued(self) -> tuple[str, int]:
        """The recording whose backends are told their past, and its last message; "" for none."""
        return ("", 0) if self._going_on is None else self._going_on.past

    def _find_begun(self, options: argparse.Namespace) -> None:
        from replay_broker.going_on import find_begun  # noqa: PLC0415

        self._going_on = find_begun(options.recording, Path(os.environ["DEJAVM_RUN_DIRECTORY"]))
        if self._going_on is not None and self._going_on.begun is not None:
            self.incoming = self._going_on.incoming
            # What was prepared for the first is in the recording.
            options.prepared, options.snapshot = None, self.incoming.number

    def loads(self) -> Mapping[str, Load]:
        """The states that nodes start in, by name; none where all begin as ever."""
        loads = self.incoming.loads if self.incoming is not None else {}
        return loads or ({} if self._going_on is None else {name: Load() for name in self._roster.members})

    def prepare(self) -> None:
        """Everything that takes time.  Called when the CPU node has been let in and loads the guest."""
        if self._made is None:
            if MODES[self._options.mode] in (RunMode.NONE, RunMode.RECORD):
                self._made = _recorder(self._options, self._board, self._roster, self._going_on)
            elif self._options.fork_at is not None:
                self._made = self._forker(self._options.fork_at)
            else:
                self._made = _replayer(self._options, self._roster, self.incoming)

    def begin(self, send: Callable[[Frame], None]) -> Session:
        """The session, once every node is ready: nothing is written before that."""
        self.prepare()
        assert self._made is not None
        session = self._made(send)
        if self._options.paused and not self.continued[1]:
            session.pause()
        return session

    def again(self, number: int, send: Callable[[Frame], None]) -> tuple[Session, Incoming]:
        """A session of the same replay that begins at a snapshot, 0 for power-on; LogError, StateError."""
        from machine.recording.reader import Recording  # noqa: PLC0415
        from replay_broker.snapshots.incoming import POWER_ON, read_incoming  # noqa: PLC0415

        # What was cut, and a branch, begin at a snapshot and not at power-on.
        number = number or Recording.open(self._options.recording).facts.snapshot
        incoming = read_incoming(self._options.recording, number) if number else POWER_ON
        return _replayer(self._options, self._roster, incoming)(send), incoming

    def travel(self, host: Host, send: Callable[[Frame], None]) -> Travel | None:
        """What goes to places of a replay; None in a run that is none, or one that has no places."""
        options = self._options
        replays = MODES[options.mode] in (RunMode.REPLAY_LOG, RunMode.REPLAY_LIVE)
        if not replays or options.until is not None or self._fork is not None:
            return None
        from machine.recording.reader import Recording  # noqa: PLC0415
        from machine.recording.snapshots.store import SnapshotStore  # noqa: PLC0415
        from replay_broker.travel import Travel  # noqa: PLC0415

        recording = Recording.open(options.recording)
        store = SnapshotStore(recording.path, recording.facts.id)
        nodes = {name: member.number for name, member in self._roster.members.items()}
        return Travel(host, store, nodes, lambda number: self.again(number, send))

    def _forker(self, at: int) -> Begin:
        from replay_broker.session.fork import ForkSession, SleepSession  # noqa: PLC0415

        replay = _opened(self._options, self._roster, self.incoming)
        kind = SleepSession if self._options.fork_asleep else ForkSession

        def begin(send: Callable[[Frame], None]) -> Session:
            recording, start = replay()
            own = recording.facts.id == self._options.fork_id
            self._fork = kind(recording, send, at, start, own=own)
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
        process = StoreProcess(path, recording_id, self._options.snapshot_budget)
        store = SnapshotStore(path, recording_id)
        taker = Taker(recording_id, nodes, tell, process, store, self._options.snapshot_every)
        taker.loaded(self._options.snapshot)
        return taker

    def _fork_taker(self, session: ForkSession, tell: Callable[[Message, int], None]) -> Taker:
        """Takes the one snapshot that a branch begins with."""
        from machine.recording.snapshots.store import SnapshotStore  # noqa: PLC0415
        from replay_broker.snapshots.process import StoreProcess  # noqa: PLC0415
        from replay_broker.snapshots.taker import Taker  # noqa: PLC0415

        options = self._options
        nodes = {member.number: name for name, member in self._roster.members.items()}
        process = StoreProcess(options.fork_into, options.fork_id, None)
        store = SnapshotStore(options.fork_into, options.fork_id)
        taker = Taker(options.fork_id, nodes, tell, process, store)
        taker.loaded(options.snapshot)
        taker.request("" if session.own else BASE_LABEL, session.kept)
        return taker


def _recorder(options: argparse.Namespace, board: Board, roster: Roster, going_on: GoingOn | None) -> Begin:
    from replay_broker.ledger import LogLedger, NullLedger  # noqa: PLC0415
    from replay_broker.session.branch import BranchSession  # noqa: PLC0415
    from replay_broker.session.debugged import DebuggedSession  # noqa: PLC0415
    from replay_broker.session.lasting import LastingSession  # noqa: PLC0415

    if MODES[options.mode] is RunMode.NONE:
        return lambda send: DebuggedSession(board, send, NullLedger(), reboots=not options.no_reboot)
    if going_on is not None and going_on.facts is not None:
        facts = going_on.facts
    elif options.prepared is not None:
        from machine.recording.reader import Recording  # noqa: PLC0415

        facts = Recording.open(options.prepared).facts
    else:
        from machine.recording.facts import gather_facts  # noqa: PLC0415

        facts = gather_facts(board, time.time_ns())

    def begin(send: Callable[[Frame], None]) -> Session:
        known = replace(facts, states=tuple((node, tuple(states.items())) for node, states in roster.states().items()))
        begun = None if going_on is None else going_on.begun
        ledger = LogLedger(options.recording, board, known, options.prepared, begun)
        beginning: Beginning | None = None
        if begun is not None and going_on is not None:
            beginning = going_on.beginning
        elif (parent := known.parent) is not None:
            beginning = _left(parent, board)
        reboots = not options.no_reboot
        if beginning is None:
            return LastingSession(board, send, ledger, reboots=reboots)
        return BranchSession(board, send, ledger, beginning, reboots=reboots)

    return begin


def _left(parent: Parent, board: Board) -> Beginning:
    """Where a branch with that board leaves another recording."""
    from machine.recording.reader import Recording  # noqa: PLC0415
    from replay_broker.held import releases  # noqa: PLC0415
    from replay_broker.session.branch import Beginning  # noqa: PLC0415

    released = releases(Recording.open(Path(parent.path)), parent.seq, board)
    return Beginning(parent.seq, parent.icount, parent.idle_ns, released)


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
