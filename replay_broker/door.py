"""The broker's door: who may come in, and what becomes of the others.

Lives here: Hello, Welcome, strangers.  Never here: sockets; what a node says once it is in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import decode
from machine.errors import RemoteWireError
from replay_broker.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from machine.frame import Frame
    from replay_broker.roster import Member, Roster
    from replay_broker.supplies import Supplies


MOST_TURNED_AWAY: Final = 1024
"""So many strangers are told why they are refused; the others are only counted."""
LONGEST_REASON: Final = 200


class Door:
    """Lets the machine's nodes in; counts what was refused."""

    def __init__(
        self, roster: Roster, mode: m.RunMode, tell: Callable[[bytes, m.Message], None], came: Callable[[Member], None]
    ) -> None:
        """`came` is told of each member that has been let in."""
        self._roster = roster
        self._mode = mode
        self._tell = tell
        self._came = came
        self._welcomed: set[bytes] = set()
        self._refusals = Refusals()
        self._turned_away: set[bytes] = set()
        """Strangers who have been told why."""
        self.loads: Mapping[str, m.Load] = {}
        """The states that nodes start in, by name; none: power-on."""
        self.supplies: Supplies | None = None
        """Where nodes come from other hosts: what they need to be put into a state."""
        self.continued = ("", 0)
        """The recording in which backends find their past, and its last message, where another broker has begun it."""
        self.changed: Callable[[str], tuple[str, int]] = lambda _: ("", 0)
        """A node's backend there, if it is another one than the board's, and the message behind which it came."""

    def knock(self, identity: bytes, frame: Frame, user: str = "", *, over: bool, begun: bool) -> None:
        """Somebody who has not been let in may say Hello and nothing else; who has a key, only as its `user`."""
        try:
            hello = decode(frame.type, frame.payload)
        except RemoteWireError as error:
            self.refuse(str(error))
            return
        if not isinstance(hello, m.Hello):
            self.refuse("no Hello")
            return
        if user and user != hello.node:
            reason = f"the key is {user}'s, not {hello.node}'s"
        else:
            reason = self._roster.admit(identity, hello)
        if reason:
            self._tell_once(identity, reason)
            self.refuse(reason)
        elif over:
            self._tell(identity, m.Shutdown())
        elif self._roster.memory_path:
            self._welcome_waiting(begun=begun)

    def _tell_once(self, identity: bytes, reason: str) -> None:
        """Who asks again and does not read must not fill our memory."""
        if identity not in self._turned_away and len(self._turned_away) < MOST_TURNED_AWAY:
            self._turned_away.add(identity)
            self._tell(identity, m.Refused(reason[:LONGEST_REASON]))

    def knows(self, member: Member, pid: int) -> bool:
        """Whether a process is a node's, as far as is known; who has not come yet may have ended on its way.

        Where another broker was before, it may have ended with that one.
        """
        return member.pid == pid or (not member.pid and not self.continued[0])

    def refuse(self, reason: str) -> None:
        """Count what is not part of the protocol."""
        self._refusals.note(f"a stranger: {reason}")

    @property
    def refused(self) -> int:
        """What was not part of the protocol so far."""
        return self._refusals.total

    def _welcome_waiting(self, *, begun: bool) -> None:
        """Devices need to know where guest memory is, so nobody is welcome before the CPU."""
        for member in self._roster.members.values():
            if member.identity is not None and member.identity not in self._welcomed:
                self._welcomed.add(member.identity)
                self._came(member)
                past = ("", 0) if begun else self.continued
                backend = self.changed(member.name) if past[0] else ("", 0)
                welcome = m.Welcome(member.number, self._mode, self._roster.memory_path, begun, *past, *backend)
                self._tell(member.identity, welcome)
                if (load := self.loads.get(member.name)) is not None:
                    self._load(member, load, past)

    def taken(self, member: Member) -> None:
        """A node of another host has put away a part of what it is to be."""
        if self.supplies is None:
            raise RemoteWireError(f"{member.name} has taken what it was not given")
        self.supplies.taken(member)

    def _load(self, member: Member, load: m.Load, past: tuple[str, int]) -> None:
        assert member.identity is not None
        if self.supplies is None:
            self._tell(member.identity, load)
        else:
            self.supplies.load(member, load, past)
