"""Nodes whose process has died get another one: what the server does about it.

Lives here: from a process's end to the moment at which another is as far.  Never here: sockets, the order of messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from machine import message as m
from machine.codec import decode, encode, type_of
from machine.frame import Frame
from machine.icount import BROKER
from replay_broker.losses import Losses
from replay_broker.past import Retelling
from replay_broker.session.record import RecordSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replay_broker.changes import BackendChanges
    from replay_broker.outbox import Outbox
    from replay_broker.roster import Member, Roster
    from replay_broker.session.base import Session
    from replay_broker.snapshots.taker import Taker

READY: Final = type_of(m.Ready)
CHECKPOINT: Final = type_of(m.Checkpoint)


class Host(Protocol):
    """What the server does for it."""

    @property
    def taker(self) -> Taker | None:
        """What takes snapshots."""

    @property
    def outbox(self) -> Outbox:
        """What is said to nodes."""

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
        self._losses = Losses(host.hear)

    @property
    def descriptor(self) -> int:
        """Readable when a process has died."""
        return self._losses.descriptor

    def watch(self, member: Member) -> None:
        """A node's process has come."""
        if self._host.is_near(member):
            self._losses.watch(member)

    def close(self) -> None:
        """The run is over."""
        self._losses.close()

    def look(self, session: Session | None) -> None:
        """Notice who has died.  MachineError when that is the end."""
        for member in self._losses.died():
            if not self._lose(member, session) and session is not None:
                self._losses.doom(member)

    def hear_of(self, member: Member, session: Session | None) -> bool:
        """Whoever started a node's process has seen its end; whether another may come.  MachineError as in look()."""
        return self._losses.is_lost(member.number) or self._lose(member, session)

    def _lose(self, member: Member, session: Session | None) -> bool:
        """A node's process has died; whether another may stand in for it."""
        self._roster.bury(member)
        self._changes.give_up_on(member.name, f"the process of {member.name} has died")
        if not self._wanted or not isinstance(session, RecordSession) or member.number not in session.pasts:
            return False
        self._losses.lose(member, session.pasts[member.number].unanswered, session.icount)
        return True

    def check(self) -> None:
        """MachineError, or Divergence, when a node has been gone for too long."""
        self._losses.check()

    def takes(self, member: Member, frame: Frame, session: RecordSession) -> bool:
        """Whether a node's word is about its past; Divergence if it is not what was said then."""
        if frame.type == READY:
            self._begin(member, frame, session)
            return True
        if frame.type == CHECKPOINT:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, m.Checkpoint)
            session.pasts[member.number].forget(message.seq)
            return True
        retelling = self._losses.retelling(member.number)
        if retelling is None or not retelling.heard(frame):
            return False
        if retelling.over:
            self._finish(member, session)
        return True

    def _begin(self, member: Member, frame: Frame, session: RecordSession) -> None:
        """A successor has come and says from where it needs the past."""
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.Ready)
        member.ready = True
        number = member.number
        past = session.pasts[number]
        retelling = Retelling(past.since(message.from_seq, member.name), number, session.node_name)
        self._losses.begin(number, retelling)
        backend = self._changes.backends.get(member.name, "")
        present = m.Present(past.inputs, session.waiting_bytes(number), backend)
        retelling.tell(
            self._host.outbox.queue, Frame(type_of(m.Present), BROKER, number, session.icount, encode(present))
        )
        if retelling.over:
            self._finish(member, session)

    def _finish(self, member: Member, session: RecordSession) -> None:
        member.gone = False
        self._losses.find(member.number, session.icount)
        if self._host.taker is not None:
            self._host.taker.ask_again(member.number)
