"""Which of a recording's messages are wanted: by node, type, class and instruction count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.codec import MESSAGES, name_of
from machine.errors import UsageError
from machine.frame import FIRST_INPUT_TYPE, class_of
from machine.recording.format import node_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from machine.frame import Frame

CLASSES: Final = ("input", "derived")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A choice of messages; what is None excludes nothing.  `first` and `last` are icounts, both included."""

    node: str | None = None
    type: str | None = None
    message_class: str | None = None
    first: int | None = None
    last: int | None = None

    @property
    def every_channel(self) -> bool:
        """Whether no channel is left out."""
        return self.node is None and self.type is None and self.message_class is None

    def check(self, names: tuple[str, ...]) -> None:
        """UsageError if there is no such node or type, with those that there are, or no such span."""
        if self.first is not None and self.last is not None and self.first > self.last:
            raise UsageError(f"--from {self.first} is behind --to {self.last}")
        if self.node is not None and self.node not in names:
            raise UsageError(f"--node {self.node}: the recorded nodes are {', '.join(names)}")
        types = [name_of(number) for number in MESSAGES if number >= FIRST_INPUT_TYPE]
        if self.type is not None and self.type not in types:
            raise UsageError(f"--type {self.type}: the types are {', '.join(types)}")

    def of(self, frames: Iterable[Frame], names: tuple[str, ...]) -> Iterator[Frame]:
        """Those of a recording's messages that are wanted, in their order; no payload is looked at."""
        verdicts: dict[tuple[int, int, int], bool] = {}
        first = self.first or 0
        for frame in frames:
            icount = frame.icount
            if icount < first:
                continue
            if self.last is not None and icount > self.last:
                return
            channel = frame[:3]
            verdict = verdicts.get(channel)
            if verdict is None:
                verdict = verdicts[channel] = self._wants(frame, names)
            if verdict:
                yield frame

    def _wants(self, frame: Frame, names: tuple[str, ...]) -> bool:
        if self.type is not None and self.type != name_of(frame.type):
            return False
        if self.message_class is not None and self.message_class != class_of(frame.type).name.lower():
            return False
        return self.node is None or self.node in (node_name(names, frame.source), node_name(names, frame.target))
