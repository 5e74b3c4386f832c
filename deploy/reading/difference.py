"""Two recordings side by side: the first difference, and counts of the rest, in one pass and little memory.

Theory of operation.  Up to the first difference both are read in step.  From there on the messages of one instruction
count are laid beside each other, channel by channel: a pair with equal bytes is the same, a pair with others differs,
what has no partner is only in one.  Memory holds the messages of one instruction count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import dropwhile, zip_longest
from typing import TYPE_CHECKING, Final

from machine.errors import Divergence, LogError
from machine.recording.compare import divergence, same, silence
from machine.recording.format import node_names
from machine.recording.trusted import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from machine.frame import Frame
    from machine.recording.reader import Recording

    Route = tuple[int, int, int]

BEFORE: Final = 5
"""Messages shown in front of the first difference."""
STRANGER: Final = 1 << 16
"""Added to the number of a node of B that A does not have; no header has room for it."""


@dataclass(slots=True)
class Count:
    """The messages of one channel, or of all."""

    same: int = 0
    differing: int = 0
    only_a: int = 0
    only_b: int = 0
    reordered: int = 0
    """The same, at the same instruction, in another order among the messages there; not counted as same."""

    def add(self, other: Count) -> None:
        """Count more."""
        self.same += other.same
        self.differing += other.differing
        self.only_a += other.only_a
        self.only_b += other.only_b
        self.reordered += other.reordered


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """Where two recordings part: in words, the two messages there (None behind an end), and those in front."""

    text: Divergence
    a: Frame | None
    b: Frame | None
    before: tuple[Frame, ...]


@dataclass(slots=True)
class Comparison:
    """What two logs have in common and what not.  Nodes and channels have A's numbers; `names` tells them all."""

    names: tuple[str, ...] = ()
    strangers: dict[int, str] = field(default_factory=dict)
    first: FirstDifference | None = None
    channels: dict[tuple[int, int, int], Count] = field(default_factory=dict)
    """By (type, source, target)."""
    damage: list[LogError] = field(default_factory=list)
    """One for each log that could only be read in part."""

    def node(self, number: int) -> str:
        """A node's name, of either recording."""
        if number < len(self.names):
            return self.names[number]
        return self.strangers.get(number, f"node{number}")

    def total(self) -> Count:
        """All channels."""
        total = Count()
        for count in self.channels.values():
            total.add(count)
        return total

    def of(self, frame: Frame) -> Count:
        """The count of a message's channel."""
        channel = frame[:3]
        count = self.channels.get(channel)
        if count is None:
            count = self.channels[channel] = Count()
        return count


def compare(a: Recording, b: Recording, watch: Callable[[Iterable[Frame]], Iterable[Frame]] = iter) -> Comparison:
    """Compare two recordings' messages.  Damage ends the log it is in and is told, not raised.

    `watch` is handed A's messages and hands them on: for showing progress.  Where one begins later, as a branch does,
    the other is compared from there.
    """
    result = Comparison(node_names(a.board))
    seq = max(a.beginning.seq, b.beginning.seq)
    left = trusted(watch(_behind(a.frames(), seq)), result.damage)
    right = _renumbered(trusted(_behind(b.frames(), seq), result.damage), node_names(b.board), result)
    before: deque[Frame] = deque(maxlen=BEFORE)
    x, y = next(left, None), next(right, None)
    while x is not None and y is not None and same(x, y):
        result.of(x).same += 1
        before.append(x)
        x, y = next(left, None), next(right, None)
    if x is not None or y is not None:
        result.first = FirstDifference(_text(x, y, result.node), x, y, tuple(before))
        _count_rest(_groups(x, left), _groups(y, right), result)
    return result


def _behind(frames: Iterable[Frame], seq: int) -> Iterable[Frame]:
    return dropwhile(lambda frame: frame.seq <= seq, frames) if seq else frames


def _text(a: Frame | None, b: Frame | None, name: Callable[[int], str]) -> Divergence:
    if b is not None:
        return divergence(a, b, name)
    assert a is not None
    return silence(a, "nothing more", name)


def _renumbered(frames: Iterator[Frame], names: Sequence[str], result: Comparison) -> Iterator[Frame]:
    """B's messages with A's numbers for the nodes of the same names."""
    if tuple(names) == result.names:
        return frames
    numbers = {n: result.names.index(x) if x in result.names else STRANGER + n for n, x in enumerate(names)}
    result.strangers |= {STRANGER + n: x for n, x in enumerate(names) if x not in result.names}

    def renumber(frame: Frame) -> Frame:
        return frame._replace(
            source=numbers.get(frame.source, STRANGER + frame.source),
            target=numbers.get(frame.target, STRANGER + frame.target),
        )

    return map(renumber, frames)


def _groups(first: Frame | None, rest: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Messages that stand next to each other with one instruction count."""
    while first is not None:
        group = [first]
        while (ahead := next(rest, None)) is not None and ahead.icount == first.icount:
            group.append(ahead)
        yield group
        first = ahead


def _count_rest(left: Iterator[list[Frame]], right: Iterator[list[Frame]], result: Comparison) -> None:
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0].icount < b[0].icount):
            for frame in a or ():
                result.of(frame).only_a += 1
            a = next(left, None)
        elif a is None or b[0].icount < a[0].icount:
            for frame in b:
                result.of(frame).only_b += 1
            b = next(right, None)
        else:
            _count_group(a, b, result)
            a, b = next(left, None), next(right, None)


def _count_group(a: list[Frame], b: list[Frame], result: Comparison) -> None:
    """Count what two recordings say at one instruction: pairs by channel, in their order there."""
    left, right = _by_channel(a), _by_channel(b)
    whole = {key: len(rows) for key, rows in left.items()} == {key: len(rows) for key, rows in right.items()}
    for key in dict.fromkeys((*left, *right)):
        count = result.channels.setdefault(key, Count())
        for x, y in zip_longest(left.get(key, ()), right.get(key, ())):
            if x is None:
                count.only_b += 1
            elif y is None:
                count.only_a += 1
            elif x[1].payload != y[1].payload:
                count.differing += 1
            elif whole and x[0] != y[0]:
                count.reordered += 1
            else:
                count.same += 1


def _by_channel(frames: list[Frame]) -> dict[Route, list[tuple[int, Frame]]]:
    rows: dict[Route, list[tuple[int, Frame]]] = {}
    for place, frame in enumerate(frames):
        rows.setdefault(frame[:3], []).append((place, frame))
    return rows
