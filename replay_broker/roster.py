"""Who belongs to the machine: names, numbers, and how far each node has come.

Lives here: the barrier before the run.  Never here: sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from machine.icount import CPU
from machine.message import WIRE_VERSION, Hello


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


@dataclass(slots=True)
class Roster:
    """The nodes of one run by name; `numbers` finds one by its ZeroMQ identity."""

    members: dict[str, Member]
    numbers: dict[bytes, int] = field(default_factory=dict)
    memory_path: str = ""
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

    def missing(self) -> list[str]:
        """Nodes that have not said Hello."""
        return [member.name for member in self.members.values() if member.identity is None]

    def all_ready(self) -> bool:
        """Whether the run can start."""
        return all(member.ready for member in self.members.values())

    def by_number(self, number: int) -> Member | None:
        """The node with a number, if it takes part."""
        return self._by_number.get(number)

    def __post_init__(self) -> None:
        self._by_number = {member.number: member for member in self.members.values()}
