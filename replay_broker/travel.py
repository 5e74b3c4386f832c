"""Where a replay stands still, and the ways there: forward to an instruction, or back by way of a snapshot.

Theory of operation.  A replay that stands still may be put into any state that its recording has: every process is told
to load it, a new session begins to read the log there, and the CPU runs on to exactly the instruction that was asked
for, where it stands with nothing done that happens there.

Lives here: goals, breakpoints, bookmarks.  Never here: sockets; what a state is.
"""

from __future__ import annotations

import logging
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from machine.errors import MachineError, SnapshotError, UsageError
from machine.message import Load
from replay_broker.session.base import Hold
from replay_broker.snapshots.process import Written
from replay_broker.snapshots.taker import Request

if TYPE_CHECKING:
    from machine.recording.snapshots.store import Head, SnapshotStore
    from replay_broker.outbox import Outbox
    from replay_broker.session.base import Session
    from replay_broker.snapshots.incoming import Incoming
    from replay_broker.snapshots.taker import Taker

log = logging.getLogger("dejavm")

CLOSE: Final = 1_000_000
"""Instructions from a snapshot to the instruction that a bookmark in a replay leads to."""
Done = Callable[[str], None]
"""Told what went wrong, or ""."""


class Host(Protocol):
    """What the broker's server does for a traveller."""

    session: Session | None

    @property
    def taker(self) -> Taker | None:
        """What takes snapshots."""

    @property
    def outbox(self) -> Outbox:
        """What is said to nodes."""


@dataclass(frozen=True, slots=True)
class _Later:
    """What is done once the replay stands; `fail` hears why it is not."""

    begin: Callable[[], None]
    fail: Done


@dataclass(slots=True)
class _Mark:
    """A state that is being kept; over when it is written and the replay is back where it stood."""

    label: str
    at: int
    at_ns: int
    done: Callable[[Written], None]
    written: Written | None = None
    back: bool = False


@dataclass(slots=True)
class _Goal:
    icount: int
    done: Done
    under_way: bool = False
    interrupted: bool = False


class Travel:
    """One replay's places.  `begin` makes the session that starts at a snapshot."""

    def __init__(
        self,
        host: Host,
        store: SnapshotStore,
        nodes: Mapping[str, int],
        begin: Callable[[int], tuple[Session, Incoming]],
    ) -> None:
        self._host = host
        self.store = store
        self._nodes = nodes
        self._begin = begin
        self._goal: _Goal | None = None
        self._mark: _Mark | None = None
        self._later: deque[_Later] = deque()
        self._goes_on = False
        """Somebody has said `cont` while a state was kept, or before the CPU stood still."""
        self._exact = False
        """The CPU stands where it was told to, with nothing done that happens there."""
        self._whole: set[int] = set()
        """Snapshots whose pages have been looked at."""
        self.breaks: list[int] = []
        self.hear: Callable[[str, Mapping[str, object]], None] = _nobody
        """Hears that a place has been reached: the event's name and data."""

    @property
    def _session(self) -> Session:
        assert self._host.session is not None
        return self._host.session

    @property
    def goal(self) -> int | None:
        """Where the replay is on its way to."""
        return None if self._goal is None else self._goal.icount

    @property
    def keeps_at(self) -> int | None:
        """Where the replay stands for all that anybody sees, while a state is kept for that place."""
        return None if self._mark is None else self._mark.at

    def seek(self, icount: int, done: Done) -> None:
        """Stand at exactly an instruction; UsageError names the range, or what is under way."""
        self._check(icount)
        self._goes_on = False
        if self._mark is not None:
            self._later.append(_Later(lambda: self._begin_goal(icount, done), done))
        elif self._goal is not None:
            raise UsageError(f"the replay is on its way to instruction {self._goal.icount}")
        else:
            self._begin_goal(icount, done)

    def _begin_goal(self, icount: int, done: Done) -> None:
        self._goal = _Goal(icount, done)
        if self._session.hold is Hold.PAUSED:
            self._go()
        else:
            self._session.pause()

    def add_break(self, icount: int, done: Done) -> None:
        """Stand still there whenever the replay comes there; it must lie ahead, UsageError."""
        self._check(icount)
        if icount not in self.breaks:
            insort(self.breaks, icount)
        if self._session.hold is Hold.RUNNING and self._goal is None:
            # Where the CPU is, only the CPU knows: it stands for a moment, and runs on to the nearest.
            self._goal = _Goal(-1, done)
            self._session.pause()
        else:
            done("")

    def _check(self, icount: int) -> None:
        first, last = self._session.begin_icount, self._session.end_icount
        if not first <= icount <= last:
            raise UsageError(f"instruction {icount} is outside the recording, which goes from {first} to {last}")

    def delete_break(self, icount: int | None) -> None:
        """Forget one, or all; UsageError if there is no such."""
        if icount is None:
            self.breaks.clear()
        elif icount in self.breaks:
            self.breaks.remove(icount)
        else:
            raise UsageError(f"there is no breakpoint at instruction {icount}")

    def interrupt(self) -> None:
        """Stand still where the replay is, whatever it was on its way to."""
        self._goes_on = False
        if self._goal is None and (self._mark is not None or self._session.hold is Hold.PAUSED):
            return  # it stands, for all that anybody sees
        if self._goal is not None:
            self._goal.interrupted = True
        self._session.hold = Hold.RUNNING
        self._session.pause()

    def resume(self) -> None:
        """Run on, to the next breakpoint if there is one ahead."""
        session = self._session
        is_stopping = session.hold is Hold.PAUSING and (self._goal is None or self._goal.interrupted)
        if self._mark is not None or is_stopping:
            self._goes_on = True
        elif self._goal is None and session.hold is Hold.PAUSED:
            ahead = self._next_break(session.icount)
            if ahead is None:
                session.resume()
            else:
                session.run_to(ahead)
            self._exact = False

    def stands(self) -> None:
        """The CPU stands still."""
        self._stand()
        taker, session = self._host.taker, self._session
        if taker is not None and self._goal is None and self._mark is None and session.hold is Hold.PAUSED:
            # A CPU that stood for nothing else would leave its place for its state.
            self._later.extend(map(self._again, taker.withdraw()))
        self._take_turns()

    def _stand(self) -> None:
        goal, session = self._goal, self._session
        if goal is None:
            if session.icount in self.breaks:
                self._exact = True
                self.hear("REPLAY_BREAK", {"icount": session.icount})
        elif goal.icount < 0:
            self._goal = None
            if not goal.interrupted:
                self.resume()
            goal.done("")
        elif goal.interrupted:
            self._goal = None
            goal.done(f"interrupted at instruction {session.icount}")
        elif not goal.under_way:
            self._go()
        else:
            self._arrive(goal)

    def bookmark(self, label: str, done: Callable[[Written], None]) -> None:
        """Give the place where the replay stands a name, and keep a state close to it; on the way, once it stands."""
        if self._goal is not None or self._mark is not None:
            self._later.append(self._again(Request(label, done)))
        elif self._session.hold is not Hold.PAUSED:
            assert self._host.taker is not None
            self._host.taker.request(label, done)
        else:
            self._keep(label, done)

    def _again(self, request: Request) -> _Later:
        done = request.done
        return _Later(lambda: self._keep(request.label, done), lambda why: done(Written(0, error=why)))

    def _keep(self, label: str, done: Callable[[Written], None]) -> None:
        """Go back a little way, have the state kept there, and come back."""
        at = self._session.icount
        self._mark = _Mark(label, at, self._session.standing_ns, done)
        near = self.store.nearest(at, self._nodes)
        first = self._session.begin_icount if near is None else near.icount
        # What the CPU has been asked for it forgets with the state that it is in.
        self._exact = False
        self._begin_goal(max(at - CLOSE, first), self._ask_there)

    def _ask_there(self, error: str) -> None:
        mark, taker = self._mark, self._host.taker
        assert mark is not None
        assert taker is not None
        if error:
            mark.back = True
            self._on_written(Written(0, error=error))
            return
        taker.request(mark.label, self._on_written, (mark.at, mark.at_ns))
        taker.tick(self._session, 0)
        self._begin_goal(mark.at, self._on_back)

    def _on_back(self, _error: str) -> None:
        assert self._mark is not None
        self._mark.back = True
        self._end_mark()

    def _on_written(self, written: Written) -> None:
        mark = self._mark
        assert mark is not None
        mark.written = written
        if written.moved and mark.back:
            # Before its place there is nowhere that a state can be kept, so it has been kept behind.
            mark.back, self._exact = False, False
            # What the CPU still has to say there must not be taken for something behind its next state.
            self._session.hold = Hold.RUNNING
            self._begin_goal(mark.at, self._on_back)
        else:
            self._end_mark()

    def _end_mark(self) -> None:
        mark = self._mark
        if mark is None or mark.written is None or not mark.back:
            return
        self._mark = None
        mark.done(mark.written)
        self._take_turns()

    def _take_turns(self) -> None:
        """Whoever has waited for the replay to stand has his turn."""
        while self._goal is None and self._mark is None and self._session.hold is Hold.PAUSED:
            if self._later:
                self._later.popleft().begin()
            elif self._goes_on:
                self._goes_on = False
                self.resume()
            else:
                return

    def give_up(self, why: str) -> None:
        """Nobody goes anywhere any more."""
        later, self._later = self._later, deque()
        for each in later:
            each.fail(why)
        goal, self._goal = self._goal, None
        if goal is not None:
            goal.done(why)

    def _go(self) -> None:
        goal, session = self._goal, self._session
        assert goal is not None
        goal.under_way = True
        here = session.icount
        if self._exact and here == goal.icount:
            self._arrive(goal)
            return
        try:
            near = self._way_in(goal.icount, here)
            if here >= goal.icount or near is not None:
                self._load(0 if near is None else near.number)
        except MachineError as error:
            self._goal = None
            goal.done(str(error))
            return
        self._session.run_to(goal.icount)

    def _way_in(self, icount: int, here: int) -> Head | None:
        """The last snapshot in front of a place that can be loaded; None if going on from here is no longer."""
        near: Head | None = self.store.nearest(icount, self._nodes)
        while near is not None and (here >= icount or near.icount > here):
            if self._is_whole(near.number):
                return near
            near = self.store.nearest(near.icount - 1, self._nodes)
        return None

    def _is_whole(self, number: int) -> bool:
        """Whether a snapshot can be loaded, as far as was seen when it was first to be; else why not is said."""
        if number not in self._whole:
            try:
                self.store.check(number)
            except SnapshotError as error:
                log.warning("snapshot %d is left out: %s", number, error)
                return False
            self._whole.add(number)
        return True

    def _load(self, number: int) -> None:
        session, incoming = self._begin(number)
        session.ticket = self._session.ticket
        self._host.session = session
        for name, node in self._nodes.items():
            self._host.outbox.say(incoming.loads.get(name, Load()), node)
        if self._host.taker is not None:
            self._host.taker.loaded(incoming.number)
        session.start()

    def _arrive(self, goal: _Goal) -> None:
        self._goal, self._exact = None, True
        if self._mark is None:
            self.hear("REPLAY_SEEK", {"icount": goal.icount})
        goal.done("")

    def _next_break(self, icount: int) -> int | None:
        ahead = self.breaks[bisect_right(self.breaks, icount) :]
        return ahead[0] if ahead else None


def _nobody(_name: str, _data: Mapping[str, object]) -> None:
    pass
