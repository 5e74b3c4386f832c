"""Who belongs to the machine: names, numbers, and how far each node has come.

Lives here: the barrier before the run.  Never here: sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from machine.codec import MESSAGES, decode, name_of, type_of
from machine.icount import CPU
from machine.message import WIRE_VERSION, Hello, Ready

if TYPE_CHECKING:
    from machine.frame import Frame

_READY: Final = type_of(Ready)


@dataclass(slots=True)
class Member:
    """One node that is expected."""

    name: str
    number: int
    identity: bytes | None = None
    pid: int = 0
    ready: bool = False
    host: str = ""
    metrics: str = ""
    heard: int = 0
    """Messages it has sent."""
    states: tuple[tuple[str, int], ...] = ()
    """Name and version of each kind of state it remembers itself in."""


@dataclass(slots=True)
class Roster:
    """The nodes of one run by name; `numbers` finds one by its ZeroMQ identity."""

    members: dict[str, Member]
    numbers: dict[bytes, int] = field(default_factory=dict)
    memory_path: str = ""
    dead: dict[bytes, str] = field(default_factory=dict)
    """The nodes of identities whose process has died."""
    _early: list[tuple[int, Frame]] = field(default_factory=list, init=False)
    _by_number: dict[int, Member] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Roster:
        """The CPU and the devices that take part; `names` starts with cpu, in board order."""
        return cls({name: Member(name, CPU + i) for i, name in enumerate(names)})

    def admit(self, identity: bytes, hello: Hello) -> str:
        """Let a node in; otherwise why not."""
        member = self.members.get(hello.node)
        if hello.wire_version != WIRE_VERSION:
            return f"speaks wire version {hello.wire_version}, this broker {WIRE_VERSION}"
        if unknown := sorted(set(hello.types) - MESSAGES.keys()):
            return f"speaks messages this broker does not know: {', '.join(map(name_of, unknown))}"
        if member is None:
            return f"no node {hello.node} on this board"
        if member.identity is not None:
            return f"node {hello.node} is already here, process {member.pid}"
        member.identity = identity
        member.pid = hello.pid
        member.host = hello.host
        member.metrics = hello.metrics
        self.numbers[identity] = member.number
        if member.number == CPU:
            self.memory_path = hello.memory_path
        return ""

    def bury(self, member: Member) -> None:
        """A node's process has died: another of its name may come, and of what it still says a Fault alone counts."""
        if member.identity is not None:
            self.numbers.pop(member.identity, None)
            self.dead[member.identity] = member.name
            self._early = [early for early in self._early if early[0] != member.number]
        member.identity, member.ready = None, False

    def missing(self) -> list[str]:
        """Nodes that have not said Hello."""
        return [member.name for member in self.members.values() if member.identity is None]

    def unready(self) -> list[str]:
        """Nodes that have not said Ready."""
        return [member.name for member in self.members.values() if not member.ready]

    def hear(self, member: Member, frame: Frame) -> None:
        """What a node says before the run: that it is Ready, and what is kept until all are."""
        if frame.type != _READY:
            self._early.append((member.number, frame))
            return
        message = decode(frame.type, frame.payload)
        assert isinstance(message, Ready)
        member.states = tuple((state.name, state.version) for state in message.states)
        member.ready = True

    def take_early(self) -> list[tuple[int, Frame]]:
        """What nodes have said in front of the run, by their numbers; kept no longer."""
        early, self._early = self._early, []
        return sorted(early, key=lambda row: row[0])

    def states(self) -> dict[str, dict[str, int]]:
        """The versions of every node's states, by node and name."""
        return {member.name: dict(member.states) for member in self.members.values()}

    def by_number(self, number: int) -> Member | None:
        """The node with a number, if it takes part."""
        return self._by_number.get(number)

    def __post_init__(self) -> None:
        self._by_number = {member.number: member for member in self.members.values()}
