"""Nodes whose process has died get another one: what the server does about it.

Lives here: from a process's end to the moment at which another is as far.  Never here: sockets, the order of messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from machine import message as m
from machine.codec import decode, encode, type_of
from machine.errors import RemoteWireError
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from replay_broker.losses import Losses
from replay_broker.past import Retelling
from replay_broker.retrace import Retrace, SoFar
from replay_broker.session.lasting import LastingSession
from replay_broker.snapshots.incoming import POWER_ON, Incoming, read_incoming

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from replay_broker.changes import BackendChanges
    from replay_broker.door import Door
    from replay_broker.outbox import Outbox
    from replay_broker.relay import Relay
    from replay_broker.roster import Member, Roster
    from replay_broker.session.base import Session
    from replay_broker.snapshots.taker import Taker

READY: Final = type_of(m.Ready)
CPU_NAME: Final = "cpu"
CHECKPOINT: Final = type_of(m.Checkpoint)


class Host(Protocol):
    """What the server does for it."""

    @property
    def taker(self) -> Taker | None:
        """What takes snapshots."""

    @property
    def door(self) -> Door:
        """Who comes in, and what is told on the way."""

    @property
    def outbox(self) -> Outbox:
        """What is said to nodes."""

    @property
    def relay(self) -> Relay:
        """Reads of guest memory on their way."""

    def hear(self, name: str, data: Mapping[str, object]) -> None:
        """Tell clients of the monitor."""

    def is_near(self, member: Member) -> bool:
        """Whether a node is on this host."""


class Rebuilder:
    """Watches the processes of a run and, where there is a log, replaces those that die."""

    def __init__(
        self,
        host: Host,
        roster: Roster,
        changes: BackendChanges,
        *,
        wanted: bool,
    ) -> None:
        self._host = host
        self._roster = roster
        self._changes = changes
        self._wanted = wanted
        self.losses = Losses(host.hear)
        self.recording: Path | None = None
        """Where the recording is."""
        self._incoming = POWER_ON
        self._retrace: Retrace | None = None
        self._postponed: list[tuple[Member, Frame]] = []
        """Devices that have come while the CPU was not there."""

    @property
    def descriptor(self) -> int:
        """Readable when a process has died."""
        return self.losses.descriptor

    def watch(self, member: Member) -> None:
        """A node's process has come."""
        if self._host.is_near(member):
            self.losses.watch(member)

    def sever(self, identity: bytes) -> None:
        """A connection from another host is over: a node's process ends with it (machine/distant.py)."""
        member = self._roster.by_number(self._roster.numbers.get(identity, 0))
        if member is not None:
            self.losses.sever(member)

    def expect_nobody(self) -> None:
        """Whoever starts processes has told the machine to leave: nobody stands in for one that dies, or has died."""
        self._wanted = False
        self.losses.close_the_book()

    def close(self) -> None:
        """The run is over."""
        self.losses.close()

    def look(self, session: Session | None) -> None:
        """Notice who has died.  MachineError when that is the end."""
        for member in self.losses.died():
            if self._lose(member, session):
                continue
            if session is None:
                self._roster.bury(member)
            else:
                self.losses.doom(member)

    def hear_of(self, member: Member, session: Session | None) -> bool:
        """Whoever started a node's process has seen its end; whether another may come.  MachineError as in look()."""
        # A successor may have died in its turn; whom nobody succeeds is lost as well, and this is its last word.
        known = self.losses.is_lost(member.number) and member.identity is None
        return known or self._lose(member, session)

    def _lose(self, member: Member, session: Session | None) -> bool:
        """A node's process has died; whether another may stand in for it."""
        self._changes.give_up_on(member.name, f"the process of {member.name} has died")
        if not self._wanted or not isinstance(session, LastingSession):
            return False
        self._roster.bury(member)
        self._postponed = [(device, frame) for device, frame in self._postponed if device is not member]
        if member.number == CPU:
            self._lose_cpu(session)
            self.losses.lose(member, None, session.icount, session.messages)
        else:
            self._host.relay.forget(member.number)
            at = session.pasts[member.number].unanswered
            self.losses.lose(member, at, session.icount, session.messages)
        return True

    def _lose_cpu(self, session: LastingSession) -> None:
        """Nothing is said to it before another is as far; that one begins at the newest snapshot, or at power-on."""
        self._retrace = None
        if self._host.taker is not None:
            self._host.taker.cpu_lost(session)
            # The newest one now would be thinned out when a newer one is there.
            self._host.taker.settle()
        session.lose_cpu()
        self._host.outbox.detours[CPU] = lambda _: None
        assert self.recording is not None
        self._incoming = self._newest(self.recording)
        self._host.door.loads = {CPU_NAME: self._incoming.loads.get(CPU_NAME, m.Load())}

    @staticmethod
    def _newest(recording: Path) -> Incoming:
        there = SnapshotStore(recording, Recording.open(recording).facts.id).list()
        return read_incoming(recording, there[-1].number) if there else POWER_ON

    def _begin_cpu(self, member: Member, session: LastingSession) -> None:
        """The CPU's successor is ready: take it along the log."""
        assert self.recording is not None
        session.mark()
        outbox = self._host.outbox
        recording = SoFar.of(self.recording, session.messages)
        start = self._incoming.point
        self._retrace = Retrace(recording, outbox.send, start, lambda: session.is_stopped)
        outbox.detours[CPU] = self._retrace.keep
        self._retrace.start()
        if self._retrace.over:
            # Nothing has been said since the snapshot: the CPU's next word is new.
            self._retraced(member, session)

    def _retraced(self, member: Member, session: LastingSession) -> None:
        """The CPU is as far as its predecessor was: the recording goes on."""
        assert self._retrace is not None
        retrace, self._retrace = self._retrace, None
        del self._host.outbox.detours[CPU]
        retrace.finish()
        for each in self._roster.members.values():
            if each.number != CPU:
                self._host.outbox.say(m.MemoryMoved(self._roster.memory_path), each.number)
        session.regain_cpu(owes_grant=retrace.owes_grant)
        self._host.relay.again()
        self._host.door.loads = {}
        self.losses.find(CPU, session.icount, retrace.messages)
        postponed, self._postponed = self._postponed, []
        for device, frame in postponed:
            self._begin(device, frame, session)

    def check(self) -> None:
        """MachineError, or Divergence, when a node has been gone for too long."""
        self.losses.check()

    def takes(self, member: Member, frame: Frame, session: LastingSession) -> bool:
        """Whether a node's word is about its past; Divergence if it is not what was said then."""
        if frame.type == READY:
            self._on_ready(member, frame, session)
            return True
        if member.number == CPU:
            return self._retraces(member, frame, session)
        if frame.type == CHECKPOINT:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, m.Checkpoint)
            session.pasts[member.number].forget(message.seq)
            return True
        retelling = self.losses.retelling(member.number)
        if retelling is None or not retelling.heard(frame):
            return False
        if retelling.over:
            self._finish(member, session)
        return True

    def _on_ready(self, member: Member, frame: Frame, session: LastingSession) -> None:
        if member.ready or not self.losses.is_lost(member.number):
            raise RemoteWireError(f"{member.name} is ready again")
        if member.number == CPU:
            member.ready = True
            self._begin_cpu(member, session)
        elif self.losses.is_lost(CPU):
            # What it reads of memory must be what is there now.
            self._postponed.append((member, frame))
        else:
            self._begin(member, frame, session)

    def _retraces(self, member: Member, frame: Frame, session: LastingSession) -> bool:
        """Whether the CPU's word is one of the past's; Divergence if it is not what was said then."""
        if self._retrace is None:
            return False
        self._retrace.handle(frame)
        if self._retrace.over:
            self._retraced(member, session)
        return True

    def _begin(self, member: Member, frame: Frame, session: LastingSession) -> None:
        """A successor has come and says from where it needs the past."""
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.Ready)
        member.ready = True
        number = member.number
        past = session.pasts[number]
        retelling = Retelling(past.since(message.from_seq, member.name), number, session.node_name)
        self.losses.begin(number, retelling)
        backend = self._changes.backends.get(member.name, "")
        present = m.Present(past.inputs, session.waiting_bytes(number), backend)
        retelling.tell(
            self._host.outbox.queue, Frame(type_of(m.Present), BROKER, number, session.icount, encode(present))
        )
        if retelling.over:
            self._finish(member, session)

    def _finish(self, member: Member, session: LastingSession) -> None:
        retelling = self.losses.retelling(member.number)
        self.losses.find(member.number, session.icount, retelling.messages if retelling is not None else 0)
        if self._host.taker is not None:
            self._host.taker.ask_again(member.number)
