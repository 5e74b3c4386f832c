"""Reading a recording: open the directory, walk its messages, never past the last good checksum."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from machine.board import Board, parse_board
from machine.clock import VirtualClock
from machine.errors import BoardError, LogError
from machine.frame import class_of
from machine.message import MessageClass
from machine.recording.chain import Chain
from machine.recording.facts import Facts, parse_facts
from machine.recording.format import FORMAT_VERSION, RESUMABLE_FORMAT
from machine.recording.layout import LOG_NAME, MACHINE_NAME
from machine.recording.place import START, Point
from machine.recording.regular import read_regular
from machine.recording.summary import Summary, summarise
from machine.recording.tail import Tail, read_tail
from machine.recording.walk import LogWalk
from machine.toml_text import HIGHEST_BYTES, parse_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from machine.frame import Frame
    from machine.recording.place import Place


@dataclass(frozen=True)
class Recording:
    """A recording's directory, its machine, and its messages."""

    path: Path
    board: Board
    facts: Facts

    @classmethod
    def open(cls, path: Path) -> Recording:
        """The recording in a directory.

        LogError if a file is missing or machine.toml is wrong, UnknownLogVersion if its format is
        another.  The log itself is only looked at when it is read.
        """
        machine = path / MACHINE_NAME
        board, facts = parse_machine(_read_text(path, machine), str(machine))
        if not (path / LOG_NAME).is_file():
            raise LogError(f"{path / LOG_NAME}: the recording's log is missing")
        return cls(path, board, facts)

    def clock(self) -> VirtualClock:
        """Virtual time in front of the first message."""
        return VirtualClock(self.board.shift, self.facts.slept_ns)

    def frames(self, start: Point = START) -> Iterator[Frame]:
        """Every message from the first, or from the first behind a point, in seq order.

        Behind the last good one, TruncatedLog or CorruptRecord if the log is cut or damaged there; one that was
        never closed just ends, in the middle of a record too.
        """
        start = self._behind(start)
        for chunk in self.walk(start.place).chunks():
            first = chunk[0].seq
            yield from chunk if first > start.seq else chunk[start.seq + 1 - first :]

    def chunks(self) -> Iterator[list[Frame]]:
        """The messages of each chunk; raises as frames()."""
        return self.walk(self.beginning.place).chunks()

    def point(self, before: Callable[[Frame], bool], start: Point = START) -> Point:
        """The point behind the last message for which all before it, and itself, are `before`; not before `start`.

        Reads from `start` on, and raises as frames() does if it comes to damage first.  Formats that cannot be read
        from the middle have no points: LogError.
        """
        if self.facts.format < RESUMABLE_FORMAT:
            raise LogError(
                f"{self.path}: format {self.facts.format} cannot be read from the middle; "
                f"`dejavm dump --json` and `dejavm assemble` make one of format {FORMAT_VERSION}"
            )
        start = self._behind(start)
        walk = self.walk(start.place)
        found, chain = start, Chain(start.chain)
        for chunk in walk.chunks():
            inputs = found.inputs
            for frame in chunk:
                if frame.seq <= start.seq:
                    continue
                if not before(frame):
                    return Point(walk.place, frame.seq - 1, inputs, chain.digest())
                chain.add(frame)
                inputs += class_of(frame.type) is MessageClass.INPUT
            found = Point(walk.place, chunk[-1].seq, inputs, chain.digest())
        return found

    @property
    def beginning(self) -> Point:
        """The point in front of its first message: power-on, or where it was cut out of another or has left it."""
        return self.facts.beginning

    @property
    def begin_icount(self) -> int:
        """The instruction count at which a replay of it begins."""
        cut = self.facts.cut
        return self.beginning.place.icount if cut is None else cut.begin

    def _behind(self, start: Point) -> Point:
        return self.beginning if start == START else start

    def walk(self, place: Place) -> LogWalk:
        """One pass over its log from a place, chunk by chunk."""
        return LogWalk(self.path / LOG_NAME, self.facts.id, self.facts.format, place, self.facts.closed)

    def summary(self) -> Summary:
        """What the recording comes to; reads all of it, tells damage instead of raising it."""
        return summarise(self.frames(), self.facts, self.clock())

    @property
    def clean_end(self) -> bool:
        """Whether the log was closed in order and its last message is End; looks at the log's end only."""
        return self._tail is not None and self._tail.ended

    @property
    def end_icount(self) -> int:
        """The icount of the last good message, or where it begins; reads the log only if it is unclosed or damaged."""
        return max(self._extent[0], self.begin_icount)

    @property
    def messages(self) -> int:
        """The number of the last good message: how many there are, a parent's up to the branch among them."""
        return self._extent[1]

    @property
    def inputs(self) -> int:
        """How many of them are inputs; as end_icount."""
        return self._extent[2]

    @property
    def log_bytes(self) -> int:
        """The size of the log file."""
        return (self.path / LOG_NAME).stat().st_size

    @cached_property
    def _tail(self) -> Tail | None:
        try:
            return read_tail(self.path / LOG_NAME, self.beginning)
        except OSError as error:
            raise LogError(f"{self.path / LOG_NAME}: cannot read the log: {error.strerror}") from error

    @cached_property
    def _extent(self) -> tuple[int, int, int]:
        if self._tail is not None:
            return self._tail.icount, self._tail.messages, self._tail.inputs
        summary = self.summary()
        return summary.instructions, self.beginning.seq + summary.messages, self.beginning.inputs + summary.inputs


def parse_machine(text: str, source: str) -> tuple[Board, Facts]:
    """What a recording's machine.toml says; LogError names `source` and key, UnknownLogVersion is newer."""
    try:
        data = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise LogError(f"{source}: not TOML: {error}") from error
    facts = parse_facts(data.get("recording"), source)
    try:
        return parse_board(text, source), facts
    except BoardError as error:
        raise LogError(str(error)) from error


def _read_text(path: Path, machine: Path) -> str:
    if not path.is_dir():
        raise LogError(f"{path}: there is no such recording")
    try:
        return read_regular(machine, HIGHEST_BYTES).decode()
    except OSError as error:
        raise LogError(f"{machine}: cannot read: {error.strerror}; is {path} a recording?") from error
    except UnicodeDecodeError as error:
        raise LogError(f"{machine}: not TOML: {error}") from error
