"""Taking snapshots: asks the CPU, then every device while it stands, and has what they say written.

Theory of operation.  The CPU tells its state at a sync point of a new instruction count and stands.  Devices act only
on stamped messages, of which there are none then, so they are where they were when the CPU came there.  The log says
which messages had happened.  Nothing of this is logged, so a run with snapshots is the run without.

Lives here: whom to ask, in which order, how often.  Never here: the files (machine/recording/snapshots/).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from machine.codec import decode
from machine.errors import NoRoom, RemoteWireError
from machine.icount import CPU
from machine.message import PagesTaken, Pause, Proceed, Save, Saved, SavedPages
from machine.recording.snapshots.snapshot import NodeState, Snapshot
from replay_broker.snapshots.arrival import Arrival
from replay_broker.snapshots.process import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from machine.frame import Frame
    from machine.message import Message
    from machine.recording.place import Point
    from machine.recording.snapshots.store import Head, SnapshotStore
    from replay_broker.session.base import Session
    from replay_broker.snapshots.process import StoreProcess

log = logging.getLogger("dejavm")
LONGEST_WAIT: Final = 64
"""Periods between two that are tried, at most, while each fails; the first time it is two."""

SETTLE_S: Final = 10.0
"""How long what is being written may take when somebody waits for it."""


@dataclass(slots=True)
class Request:
    """Somebody wants a snapshot; `done` hears what became of it."""

    label: str
    done: Callable[[Written], None]
    at: tuple[int, int] | None = None
    """The instruction that its label leads to, if that is another than the snapshot's own; its virtual time in ns."""


class Taker:
    """One snapshot after the other.  `nodes` are those with a process, by number."""

    def __init__(
        self, recording_id: str, nodes: Mapping[int, str], send: Callable[[Message, int], None],
        process: StoreProcess, store: SnapshotStore, every_ns: int | None = None,
    ) -> None:  # fmt: skip
        self._id = recording_id
        self._nodes = nodes
        self._send = send
        self.process = process
        self._store = store
        self._deleting: deque[Callable[[str], None]] = deque()
        self._every_ns = every_ns
        self._next_ns: int | None = None
        self._failures = 0
        self._skips = 0
        """Periods that pass without a snapshot."""
        self._waiting: deque[Request] = deque()
        self._request: Request | None = None
        self._asking = False
        self._woken: int | None = None
        """The CPU, which stood still behind the Pause of this ticket, has been let go for its state."""
        self._writing = False
        self._point: Point | None = None
        self._icount = 0
        self._told: dict[int, Saved] = {}
        self._arrival: Arrival | None = None
        """Where memory goes that comes from another host."""
        self._base: int | None = None
        """The snapshot that the CPU's next copy is a change of."""
        self._follows = False
        """The one that is being written will be that."""
        self._asked_ns = self._pause_ns = 0
        self.taken = 0
        self.failed = 0
        self._lacks = ""
        """Why what the CPU tells on another host of its memory is put away nowhere."""
        self.stood_ns = 0
        """How long the CPU has stood to tell its state, and for the others to tell theirs."""
        self._stands_ns: int | None = None

    @property
    def stage(self) -> str:
        """How far one is that somebody has asked for by name: `waiting`, `state`, `writing`, or "" if there is none."""
        named = self._request if self._request is not None and self._request.label else None
        if named is not None and (self._asking or self._writing):
            return "state" if self._asking else "writing"
        return "waiting" if any(request.label for request in self._waiting) else ""

    def loaded(self, number: int) -> None:
        """The CPU has been put into the state of a snapshot, 0 for power-on."""
        self._base = number or None
        self._follows = False

    def request(self, label: str, done: Callable[[Written], None], at: tuple[int, int] | None = None) -> None:
        """A snapshot at the next sync point, whose label leads `at` an instruction close to it, at its virtual time."""
        self._waiting.append(Request(label, done, at))

    def tick(self, session: Session, now_ns: int) -> None:
        """Ask, if somebody wants one, or the period is over, and none is under way."""
        self._hear_store()
        if self._every_ns is not None:
            if self._next_ns is None:
                self._next_ns = now_ns + self._every_ns
            elif now_ns >= self._next_ns:
                self._next_ns = now_ns + self._every_ns
                if self._skips:
                    self._skips -= 1
                elif not self._waiting and not self._asking and not self._writing:
                    self.request("", self._heed)
        if self._waiting and not self._asking and not self._writing and session.may_save():
            self._request = self._waiting.popleft()
            self._asking = session.saving = True
            self._lacks = ""
            if self._arrival is not None:
                self._arrival.begin()
            self._asked_ns = time.monotonic_ns()
            self._send(Save(whole=self._base is None), CPU)
            self._woken = None
            if self._request.at is None:
                self._wake(session)
        elif self._asking and CPU not in self._told:
            # Somebody has had it stand before it came to its next sync point.
            self._wake(session)

    def _wake(self, session: Session) -> None:
        """A CPU that stands where it cannot tell its state goes on as far as the next sync point, and stands there."""
        if session.stands_awake() and self._woken != session.ticket:
            self._woken = session.ticket
            self._send(Pause(on=False), CPU)

    def withdraw(self) -> list[Request]:
        """What has been asked for by name, if the CPU has not told its state: nobody waits for it here any more.

        The CPU, which may still tell it, has to be put into another state.
        """
        named = [request for request in self._waiting if request.label]
        self._waiting = deque(request for request in self._waiting if not request.label)
        if self._request is not None and self._request.label and self._asking and CPU not in self._told:
            named.insert(0, self._request)
            self._request, self._asking = None, False
        return named

    def timeout_ns(self, now_ns: int) -> int | None:
        """Nanoseconds to the next tick() that is wanted."""
        if self._next_ns is None:
            return self._every_ns
        return max(0, self._next_ns - now_ns)

    def hear(self, session: Session, frame: Frame, now_ns: int) -> None:
        """A node has told its state, or a part of memory."""
        message = decode(frame.type, frame.payload)
        if frame.source == CPU and self._stands_ns is None:
            self._stands_ns = now_ns
        if isinstance(message, SavedPages):
            self._on_pages(session, message)
        else:
            assert isinstance(message, Saved)
            self._on_saved(session, frame, message, now_ns)

    def _on_pages(self, session: Session, part: SavedPages) -> None:
        if not self._asking or CPU in self._told:
            raise RemoteWireError("cpu has told memory that nobody asked for")
        if self._arrival is None:
            self._arrival = Arrival(session.board.memory)
        if not self._lacks:
            try:
                self._arrival.take(part)
            except NoRoom as error:
                self._lacks = str(error)
        self._send(PagesTaken(), CPU)

    def _on_saved(self, session: Session, frame: Frame, message: Saved, now_ns: int) -> None:
        """The last one lets the CPU run on."""
        if not self._asking or frame.source in self._told or (frame.source != CPU and CPU not in self._told):
            # A device that was asked again has told it twice, or late, when the CPU had died that it stood for.
            return
        if frame.source == CPU and (why := message.refused or self._lacks):
            self._refuse(session, why, now_ns)
            return
        self._told[frame.source] = message
        if frame.source == CPU:
            if not message.staging and self._arrival is not None:
                self._told[CPU] = msgspec.structs.replace(message, staging=self._arrival.path)
            self._icount = frame.icount
            self._point = session.point(frame.icount)
            for number in self._nodes:
                if number != CPU:
                    self._send(Save(), number)
        if len(self._told) == len(self._nodes):
            self._submit(session)
            self._let_go(session, now_ns)

    def _let_go(self, session: Session, now_ns: int) -> None:
        """The CPU has stood for long enough."""
        self._asking = False
        if self._woken is not None and session.stands_awake():
            self._send(Pause(on=True), CPU)
        self._send(Proceed(), CPU)
        self._pause_ns = time.monotonic_ns() - self._asked_ns
        assert self._stands_ns is not None
        self.stood_ns += now_ns - self._stands_ns
        self._stands_ns = None
        session.saved()

    def _refuse(self, session: Session, why: str, now_ns: int) -> None:
        """The host has no room for the CPU's memory: there is no snapshot, and the next one is of all of it."""
        self._base = None
        self._let_go(session, now_ns)
        self._conclude(Written(0, error=why))

    def ask_again(self, number: int) -> None:
        """A node's process has died, and another stands in for it: it may not have been asked."""
        if self._asking and CPU in self._told and number not in self._told:
            self._send(Save(), number)

    def cpu_lost(self, session: Session) -> None:
        """The CPU's process has died: its successor has to tell everything anew."""
        if self._asking and self._request is not None:
            self._waiting.appendleft(self._request)
            self._request = None
        self._asking = session.saving = False
        self._told.clear()
        self._base, self._follows, self._stands_ns = None, False, None

    def heads(self) -> tuple[Head, ...]:
        """The recording's snapshots that are whole."""
        return self._store.list()

    def delete(self, number: int, done: Callable[[str], None]) -> None:
        """Remove one; `done` hears when it is gone, or why not."""
        if number == self._base:
            self._base = None
        self._deleting.append(done)
        self.process.delete(number)

    def give_up(self, why: str) -> None:
        """The run is over: nobody gets a snapshot any more but those that are being written."""
        for done in self._deleting:
            done(why)
        self._deleting.clear()
        requests = [*self._waiting, *([self._request] if self._request is not None and self._asking else [])]
        self._waiting.clear()
        for request in requests:
            # Nobody waits for one by period.
            if request.done != self._heed:
                request.done(Written(0, error=why))

    def close(self) -> None:
        """Wait for what is being written."""
        self.process.close()
        if self._arrival is not None:
            self._arrival.close()

    def _submit(self, session: Session) -> None:
        assert self._point is not None
        assert self._request is not None
        memory = self._told[CPU]
        at, at_ns = (self._icount, memory.virtual_ns) if self._request.at is None else self._request.at
        snapshot = Snapshot(
            recording=self._id,
            number=0,  # the store's to give: others may be writing too
            icount=self._icount,
            seq=self._point.seq,
            inputs=self._point.inputs,
            chain=self._point.chain,
            place=self._point.place,
            memory=session.board.memory,
            nodes=tuple(NodeState(self._nodes[n], self._told[n].state) for n in sorted(self._told)),
            broker=session.broker_state(),
            label=self._request.label,
            at=at,
            made_ns=time.time_ns(),
            front=memory.front,
            at_ns=at_ns,
            # What a run takes that waits for its devices says nothing of a replay from the log.
            work_ns=0,
        )
        self.process.submit(snapshot, memory, None if memory.whole else self._base)
        self._told.clear()
        self._writing = self._follows = True

    def settle(self) -> None:
        """Wait for what is being written: behind that nothing is thinned out until another is asked for."""
        self._hear(self.process.finish(SETTLE_S))

    def _hear_store(self) -> None:
        self._hear(self.process.answers())

    def _hear(self, answers: list[Written]) -> None:
        for written in answers:
            if written.deleted:
                self._deleting.popleft()(written.error)
                continue
            self._writing = False
            if self._follows:
                # What the CPU tells next as changed would be a change of what is not there.
                self._base = None if written.error else written.number
            self._follows = False
            self._conclude(written)

    def _conclude(self, written: Written) -> None:
        """That one is there, or never will be."""
        request, self._request = self._request, None
        self.taken += not written.error
        self.failed += bool(written.error)
        if request is not None:
            request.done(replace(written, pause_ns=self._pause_ns, moved=self._woken is not None))

    def _heed(self, written: Written) -> None:
        """What became of one by period: a full disk is said, and tried again after ever more periods."""
        self._failures = self._failures + 1 if written.error else 0
        if written.error and self._every_ns is not None:
            wait = min(1 << self._failures, LONGEST_WAIT)
            self._skips = wait - 1
            log.warning("no snapshot, the next is tried in %g s: %s", wait * self._every_ns / 1e9, written.error)
