"""What an analysis is: it looks at the machine while a part of a recording is replayed, and the parts are combined.

An analysis is made anew in the process that replays a part, wherever that runs, from the words it was given on the
command line.  What it finds there travels as JSON.  Looking changes nothing: every message is compared as ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


class Replayed(Protocol):
    """The machine while a part is replayed."""

    @property
    def icount(self) -> int:
        """Guest instructions so far."""

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory; bytes outside of it are zero."""

    def cover(self) -> None:
        """From here on note which blocks of instructions are executed."""

    def covered(self) -> list[tuple[int, int]]:
        """The blocks that were: first virtual address and bytes, each once, by address."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write to watched memory: where the CPU was in front of it, what was written, and by whom.

    `device`: its name, "" for the CPU, "gdb" for a debugger, "reset" where the machine began anew
    (address and size are those watched then).
    """

    icount: int
    pc: int
    address: int
    size: int
    device: str


class Analysis(ABC):
    """One question.  The constructor takes the words behind its name; ValueError if they are wrong."""

    every: ClassVar[int] = 0
    """look() is called at the first sync point at or behind each multiple of so many instructions; 0: never."""

    watched: tuple[int, int] | None = None
    """The first byte, guest physical, and the bytes of memory whose writes written() is told; that costs speed."""

    about: tuple[int, int] | None = None
    """The same, where writes are not told.  Who asks about what is not memory hears so."""

    def __init__(self, *words: str) -> None:
        if words:
            raise ValueError(f"{type(self).__name__} takes no words, not {' '.join(words)}")

    def begin(self, machine: Replayed) -> None:  # noqa: B027  # many have nothing to do
        """The part begins."""

    def look(self, machine: Replayed) -> None:  # noqa: B027  # many have nothing to do
        """The machine stands at a sync point."""

    def written(self, machine: Replayed, write: Write) -> None:  # noqa: B027  # many watch nothing
        """Watched memory has been written to, this moment."""

    @abstractmethod
    def end(self, machine: Replayed) -> Any:  # noqa: ANN401  # anything that JSON has
        """The part is over: what was found in it, as JSON has it."""

    @abstractmethod
    def combine(self, parts: Sequence[Any]) -> Any:  # noqa: ANN401  # likewise
        """What all parts have found, in the order of the recording, as one answer."""
