"""What the protocol is spoken in front of: a machine that runs now, or a recording with its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.debugger import Stop, Watch


class TargetError(Exception):
    """What gdb has asked for cannot be; the text is for whoever sits in front of it."""


class NotYetError(Exception):
    """The machine has to wake before it can be changed: the same packet is dealt with again where it stands next."""


@dataclass(frozen=True, slots=True)
class Resume:
    """How gdb wants the machine to go on."""

    step: bool = False
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a `monitor` command prints, and where the machine stands now, if that has changed."""

    text: str
    stop: Stop | None = None


class Target(Protocol):
    """A machine that stands, except between Resume and the Stop that follows."""

    @property
    def arch(self) -> ArchSpec:
        """Of its CPU."""

    @property
    def can_reverse(self) -> bool:
        """Whether it has a past."""

    @property
    def why_read_only(self) -> str:
        """Why gdb may not change it; "" if it may."""

    def registers(self) -> Mapping[str, int]:
        """By gdb's names."""

    def raw_registers(self) -> tuple[int, ...]:
        """In the order of the architecture's Inspect."""

    def read_physical(self, address: int, size: int) -> bytes:
        """Guest memory, up to the first byte that is none."""

    def write_physical(self, address: int, data: bytes) -> None:
        """Change guest memory.  NotYetError."""

    def put_register(self, name: str, value: int) -> bool:
        """Change a register; False if it cannot be.  NotYetError."""

    def set_points(self, breaks: Sequence[int], watches: Sequence[Watch]) -> None:
        """Breakpoints and watchpoints from the next Resume on; ValueError if there are too many."""

    def command(self, words: Sequence[str], stop: Stop) -> Answer | None:
        """A `monitor` command of its own; None if it has no such command.  TargetError."""

    def help(self) -> Mapping[str, str]:
        """Its `monitor` commands."""
