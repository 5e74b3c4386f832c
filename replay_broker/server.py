"""The shell of the broker: the one loop, the barrier, who may say what.

Lives here: the order in which sockets, clock and monitor have their turn.
Never here: ZeroMQ (sockets.py), control clients (clients.py), what a message leads to (replay_broker/session/).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import decode, type_of
from machine.errors import EXIT_UNREADABLE, Divergence, LogError, MachineError, RemoteWireError
from machine.frame import Frame
from machine.icount import CPU
from machine.port import frames_of
from replay_broker.barrier import Barrier
from replay_broker.census import Census
from replay_broker.changes import BackendChanges
from replay_broker.clients import Clients
from replay_broker.door import Door
from replay_broker.outbox import Outbox
from replay_broker.outcome import Outcome, of_fault, torn
from replay_broker.rebuilder import Rebuilder
from replay_broker.relay import RELAYED, Relay
from replay_broker.session.base import Session, check_origin
from replay_broker.session.lasting import LastingSession
from replay_broker.turns import FAREWELL_S, LATECOMER_S, TICK_MS, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from machine.scrape import ScrapeServer
    from machine.traffic import Traffic
    from replay_broker.monitor.monitor import Monitor
    from replay_broker.roster import Member, Roster
    from replay_broker.snapshots.taker import Taker
    from replay_broker.sockets import Sockets, Taken
    from replay_broker.travel import Travel

REPLAYS: Final = (m.RunMode.REPLAY_LOG, m.RunMode.REPLAY_LIVE)
_PAGES_TAKEN: Final = type_of(m.PagesTaken)
_HELLO: Final = type_of(m.Hello)
_QUIT: Final = type_of(m.Quit)
_PAUSED: Final = type_of(m.Paused)
_BACKEND_CHANGED: Final = type_of(m.BackendChanged)
_STATE: Final = (type_of(m.Saved), type_of(m.SavedPages))
_FAULT: Final = type_of(m.Fault)
_OWN: Final = frozenset((_PAUSED, *_STATE, _BACKEND_CHANGED, *RELAYED))
"""Said by a node in the run, and no part of it."""


class Server:
    """One machine's broker.  `begin` makes the session once every node is ready; `prepare` may take its time before."""

    leave_wanted = False
    """Set by a signal: end the run in order, and go."""

    def __init__(
        self,
        sockets: Sockets,
        roster: Roster,
        mode: m.RunMode,
        begin: Callable[[Callable[[Frame], None]], Session],
        prepare: Callable[[], None] = lambda: None,
        monitor: Monitor | None = None,
        *,
        rebuild: bool = True,
    ) -> None:
        self._roster = roster
        self.make_taker: Callable[[], Taker | None] = lambda: None
        self.make_travel: Callable[[], Travel | None] = lambda: None
        self.taker: Taker | None = None  # takes snapshots, where there is a recording to keep them in
        self.travel: Travel | None = None  # goes to places of a replay
        self.mode = mode
        self._monitor = monitor
        self._begin = begin
        self._prepare: Callable[[], None] | None = prepare
        self.session: Session | None = None
        self.outcome: Outcome | None = None
        self._turns = Turns()
        self.changes = BackendChanges()
        self._sockets = sockets
        self.outbox = Outbox(roster, sockets.tell_node, self._note)
        self.rebuilder = Rebuilder(self, roster, self.changes, wanted=rebuild and mode is m.RunMode.RECORD)
        self.door = Door(roster, mode, self.outbox.tell, self.rebuilder.watch)
        sockets.refuse, sockets.severed = self.door.refuse, self.rebuilder.sever
        self._clients = Clients(self, sockets.tell_client, self.door.refuse, monitor)
        self._over_since: float | None = None
        self._dismissed = False
        self.exit_code = 0
        self.census = Census(roster, lost=self.rebuilder.losses.waiting_for)
        self.census.backends = lambda: self.changes.words(self.session)
        self.relay = Relay(self.outbox.queue, self.census.relayed)
        self.barrier = Barrier(roster)
        self._scrape: ScrapeServer | None = None

    def run(self) -> None:
        """Serve until the run is over and a control client has dismissed the broker."""
        self._sockets.watch(self.rebuilder.descriptor)
        if self._monitor is not None:
            self._monitor.attach(self)
            self._sockets.watch(self._monitor.descriptor)
        if self._scrape is not None:
            self._sockets.watch(self._scrape.descriptor)
        while not self._over():
            self._sockets.wait(self._timeout_ms())
            runs = self.session is not None and self.outcome is None
            if self._sockets.only_bus and runs and self._turns.may_be_put_off():
                if (came := self._sockets.next()) is not None:
                    self._safely(lambda: self._on_bus(*came))  # it is called at once
                self.outbox.flush()
                continue
            if self._scrape is not None and self._sockets.is_ready(self._scrape.descriptor):
                self._scrape.serve()
            self._drain(self._sockets.bus(), self._on_bus)
            if self._sockets.is_ready(self.rebuilder.descriptor):
                self._safely(self._look_for_deaths)
            self._drain(self._sockets.control(), self._clients.take)
            self._prepare_once()
            self._tick()
            if self._monitor is not None:
                self._serve_monitor(self._monitor, ready=self._sockets.is_ready(self._monitor.descriptor))
        if self._monitor is not None:
            self._monitor.close()
        if self.taker is not None:
            self.taker.close()
        self.rebuilder.close()
        self._sockets.close()

    def _serve_monitor(self, monitor: Monitor, *, ready: bool) -> None:
        """What clients of the monitor ask, and what they hear."""
        self._safely(lambda: monitor.serve(ready=ready))
        self._notice_end()
        self.outbox.flush()

    def _prepare_once(self) -> None:
        """What the session needs, while the CPU node, which has just been let in, loads the guest."""
        if self._prepare is None or not self._roster.memory_path or self.outcome is not None:
            return
        prepare, self._prepare = self._prepare, None
        try:
            prepare()
        except (MachineError, OSError) as error:
            self._fail(error)

    def _over(self) -> bool:
        if self._over_since is None:
            return False
        # Nodes that are only starting would wait long for a broker that has gone.
        late = self._roster.missing() and not self.rebuilder.losses.final
        patience_s = LATECOMER_S if self._dismissed and late else FAREWELL_S
        return time.monotonic() - self._over_since > patience_s or (self._dismissed and not late)

    def _timeout_ms(self) -> int:
        if self._monitor is not None and self._monitor.backlog:
            return 0
        if self.session is None or self.outcome is not None:
            return TICK_MS
        taker_ns = None if self.taker is None else self.taker.timeout_ns(time.monotonic_ns())
        return self._turns.wait_ms(self.session.timeout_ns(), taker_ns)

    def _drain(self, came: Iterable[Taken], handle: Callable[[bytes, Sequence[bytes]], None]) -> None:
        """What has come; what it leads to goes out in one message for each node."""
        for identity, parts in came:
            self._safely(lambda: handle(identity, parts))  # noqa: B023  # it is called at once
            self.outbox.flush()
            self._write_down()

    def _safely(self, do: Callable[[], None]) -> None:
        """What goes wrong with one node ends the run and not the broker."""
        try:
            do()
        except Divergence as error:
            self._end(Outcome(m.RunState.DIVERGED, detail=str(error)))
        except (MachineError, OSError) as error:
            self._fail(error)

    def _tick_session(self) -> None:
        assert self.session is not None
        self.session.tick()
        self.rebuilder.check()
        if self.taker is not None and self.session.outcome is None:
            self.taker.tick(self.session, time.monotonic_ns())

    def _look_for_deaths(self) -> None:
        if self.outcome is None:
            self.rebuilder.look(self.session)

    def is_near(self, member: Member) -> bool:
        """Whether a node is on this host."""
        return member.host in ("", self.census.host)

    def hear(self, name: str, data: Mapping[str, object]) -> None:
        """Something that clients of the monitor are told."""
        if self._monitor is not None:
            self._monitor.tell(name, data)

    def _write_down(self) -> None:
        """The log comes after what others wait for."""
        if self.session is not None and self.outcome is None:
            self._safely(self.session.write_down)

    def _tick(self) -> None:
        self._turns.taken()
        if self.leave_wanted:
            self.leave_wanted, self._dismissed = False, True
            self.rebuilder.expect_nobody()
            self.quit()
        if self.outcome is not None:
            return
        if self.session is None:
            if late := self.barrier.look():
                self._fail(MachineError(late))
        else:
            self.census.tick(self.session)
            self._safely(self._tick_session)
            self._notice_end()
        self.outbox.flush()

    # The machine's nodes.

    def _on_bus(self, identity: bytes, parts: Sequence[bytes]) -> None:
        number, dead = self._roster.numbers.get(identity), self._roster.dead.get(identity, "")
        try:
            frames = frames_of(parts)
        except RemoteWireError as error:
            self._stranger(identity, str(error), known=number is not None)
            return
        for frame in frames:
            if dead:
                self._hear_last_word(dead, frame)
                continue
            if number is None:
                user = self._sockets.user_of_new(identity)
                self._look_for_deaths()  # its predecessor may have died a moment ago
                if self._is_torn(user, frame):
                    return
                over, begun = self.outcome is not None, self.session is not None
                self.door.knock(identity, frame, user, over=over, begun=begun)
                number = self._roster.numbers.get(identity)
                if number is None:
                    return
                continue
            if self.outcome is not None:
                return
            self._on_frame(number, frame)

    def _hear_last_word(self, name: str, frame: Frame) -> None:
        """Why a node failed, though its end was noticed first; all else that the dead say their successors say."""
        if frame.type == _FAULT:
            self._end(of_fault(name, decode(frame.type, frame.payload)))

    def _is_torn(self, user: str, frame: Frame) -> bool:
        """Whether a node of another host goes on over a new connection; what the old one had under way is lost."""
        member = self._roster.members.get(user)
        if member is None or member.identity is None or frame.type == _HELLO or self.outcome is not None:
            return False
        self._end(torn(user))
        return True

    def _on_frame(self, number: int, frame: Frame) -> None:
        member = self._roster.by_number(number)
        assert member is not None
        member.heard += 1
        if self.outbox.traffic is not None:
            self.outbox.traffic.received(frame.type, len(frame.payload))
        if frame.type == _FAULT:
            self._hear_last_word(member.name, frame)
            return
        if frame.type == _PAGES_TAKEN:
            self.door.taken(member)
            return
        if self.session is None:
            self._on_ready(member, frame)
        elif frame.source != number:
            raise RemoteWireError(f"{member.name} speaks as node {frame.source}")
        elif isinstance(self.session, LastingSession) and self.rebuilder.takes(member, frame, self.session):
            pass
        elif frame.type == _QUIT:
            self.session.quit()
        else:
            check_origin(frame, member.name, len(self.session.board.devices) + CPU + 1)
            if frame.type not in _OWN:
                self.session.handle(frame)
            elif frame.type == _PAUSED:
                if self.session.on_paused(frame) and self.travel is not None:
                    self.travel.stands()
            elif frame.type in _STATE:
                if self.taker is None:
                    raise RemoteWireError(f"{member.name} has told a state that nobody asked for")
                self.taker.hear(self.session, frame, time.monotonic_ns())
            elif frame.type in RELAYED:
                self.relay.take(frame)
            else:
                self.changes.hear(member.name, decode(frame.type, frame.payload), self.session.messages)
        self._notice_end()

    def _on_ready(self, member: Member, frame: Frame) -> None:
        self._roster.hear(member, frame)
        if not self._roster.unready():
            self.session = self._begin(self.outbox.queue)
            self.door.loads = {}  # who comes from now on stands in for another
            self.taker, self.travel = self.make_taker(), self.make_travel()
            self.session.start()
            self._notice_end()  # what is over as it begins hears nobody any more
            for number, waiting in self._roster.take_early():
                self._on_frame(number, waiting)

    def _stranger(self, identity: bytes, reason: str, *, known: bool) -> None:
        """What is not part of the protocol: a stranger's is refused and counted, a node's ends the run."""
        if known:
            member = self._roster.by_number(self._roster.numbers[identity])
            raise RemoteWireError(f"{member.name if member else identity!r}: {reason}")
        self.door.refuse(reason)

    # What control clients and the monitor ask.

    def change_backend(self, node: str, word: str, done: Callable[[str], None]) -> None:
        """Have a device's process take another backend; `done` hears why it did not, or ""."""
        member = self._roster.members.get(node)
        if self.session is None or self.outcome is not None:
            done("the machine does not run")
        elif member is None or member.identity is None or member.number == CPU:
            done(f"{node} has no process in this run")
        else:
            self.changes.ask(node, word, done)
            self.outbox.tell(member.identity, m.ChangeBackend(node, word))

    def _note(self, frame: Frame) -> None:
        self.census.last = frame

    def measure(self, scrape: ScrapeServer, traffic: Traffic) -> None:
        """Serve metrics from the loop, and count for them."""
        self._scrape, self.outbox.traffic = scrape, traffic
        self.census.metrics = scrape.address

    def process_ended(self, node: str, pid: int, detail: str) -> None:
        """Whoever started the processes has seen one die: the run ends, unless another can stand in for it."""
        member = self._roster.members.get(node)
        if member is None or self.outcome is not None or not self.door.knows(member, pid):
            return
        self.hear("NODE_ENDED", {"node": node, "pid": pid, "detail": detail})
        if self.rebuilder.hear_of(member, self.session):
            return
        self._end(Outcome(m.RunState.FAILED, detail=f"{node}, process {pid}, {detail}"))

    @property
    def refused(self) -> int:
        """Messages that were not part of the protocol, from strangers and control clients."""
        return self.door.refused

    @property
    def backends(self) -> dict[str, str]:
        """Backends that are other ones than the board says, by device."""
        return self.changes.backends

    def quit(self) -> None:
        """End the run; when it is over, go."""
        if self.session is not None and self.outcome is None:
            self.session.quit()
            self._notice_end()
        elif self.outcome is None:
            self._end(Outcome(m.RunState.STOPPED, detail="ended before it began"))
        else:
            self._dismissed = True

    def status(self, *, nodes: bool = False) -> m.Status:
        """How the machine is; with `nodes`, how each of its processes is."""
        waiting_for = self.barrier.waiting_for() if self.session is None else self.census.waiting_for()
        return self.census.status(self.session, self.outcome, self.mode, self.refused, waiting_for, nodes=nodes)

    # Ends, and what goes out.

    def _notice_end(self) -> None:
        if self.session is not None and self.session.outcome is not None:
            self._end(self.session.outcome)

    def _end(self, outcome: Outcome) -> None:
        """The run is over: every node leaves, every watcher is told."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self._over_since = time.monotonic()
        if self.session is not None and self.session.outcome is None:
            self.session.fail(outcome)
        for identity in self._roster.numbers:
            self.outbox.tell(identity, m.Shutdown())
        for waited_for in (self.taker, self.travel, self.changes):
            if waited_for is not None:
                waited_for.give_up("the run is over")
        self.outbox.flush()
        self._clients.tell_watchers()

    def _fail(self, error: Exception) -> None:
        """The run cannot begin, or not go on; what is wrong with the recording is for the exit code too."""
        if isinstance(error, (LogError, RemoteWireError)) and self.mode in REPLAYS:
            self.exit_code = EXIT_UNREADABLE
        self._end(Outcome(m.RunState.FAILED, detail=str(error)))
