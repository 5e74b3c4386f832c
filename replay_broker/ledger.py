"""What is written down: stamps, the running digest, and the log where there is one.

Lives here: the total order.  Never here: what a message means.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from machine.errors import LogError
from machine.frame import FIRST_DERIVED_TYPE, Frame
from machine.recording.writer import RecordingWriter

if TYPE_CHECKING:
    from pathlib import Path

    from machine.board import Board
    from machine.recording.facts import Facts
    from machine.recording.place import Point
    from machine.recording.reader import Recording


FOREVER_NS: Final = 1 << 62


def stamp(frame: Frame, seq: int) -> Frame:
    """The frame with its place in the order.  _replace() would take twice as long."""
    return Frame(frame.type, frame.source, frame.target, frame.icount, frame.payload, seq)


class Ledger(Protocol):
    """Gives every message its place."""

    messages: int
    inputs: int
    keeps: bool
    """Whether anything is kept; where not, nobody needs digests either."""

    def enter(self, frame: Frame) -> Frame:
        """The frame with its stamp; write_down() writes it."""

    def write_down(self) -> None:
        """Called when what was entered has been sent: the log need not keep anybody waiting.  LogError."""

    def tick(self) -> None:
        """Called several times a second."""

    def due_in_ns(self) -> int | None:
        """Nanoseconds until tick() has something to do; None while it has nothing."""

    def mark(self) -> Point:
        """The point behind everything entered so far, which is with the host then.  LogError."""

    def digest(self) -> bytes:
        """The digest of everything entered so far; empty where nobody will compare it."""

    def close(self, *, clean: bool) -> None:
        """Nothing more is entered; `clean` when the last message was the run's end."""


class NullLedger:
    """Mode `none`: stamps, and forgets."""

    keeps = False

    def __init__(self) -> None:
        self.messages = 0
        self.inputs = 0

    def enter(self, frame: Frame) -> Frame:
        """The frame with its stamp."""
        self.messages += 1
        self.inputs += frame.type < FIRST_DERIVED_TYPE
        return stamp(frame, self.messages)

    def write_down(self) -> None:
        """Nothing is written."""

    def tick(self) -> None:
        """Nothing is due."""

    def due_in_ns(self) -> int | None:
        """Never."""
        return None

    def mark(self) -> Point:
        """There is no log to begin to read."""
        raise LogError("a run without a recording has no place to go back to")

    def digest(self) -> bytes:
        """Nobody will compare it."""
        return b""

    def close(self, *, clean: bool) -> None:
        """Nothing was opened."""


class LogLedger:
    """Mode `record`: stamps, digests and logs."""

    keeps = True

    def __init__(
        self,
        directory: Path,
        board: Board,
        facts: Facts,
        prepared: Path | None = None,
        begun: tuple[Recording, Point] | None = None,
    ) -> None:
        """`begun`: the recording that another broker has begun there, and the point to go on from."""
        behind = None if begun is None else (begun[0], begun[1].seq)
        self._writer = RecordingWriter(directory, board, facts, prepared, behind)
        self._entered: list[Frame] = []
        self._entered_ns = 0
        """When the first of them was entered, which is before anybody acted on it."""
        # The host's clock may be set while the run goes on; what is promised about time must hold then too.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        # A branch goes on behind its parent.
        start = facts.beginning if begun is None else begun[1]
        self.messages = start.seq
        self.inputs = start.inputs

    def enter(self, frame: Frame) -> Frame:
        """The frame with its stamp."""
        self.messages += 1
        self.inputs += frame.type < FIRST_DERIVED_TYPE
        stamped = stamp(frame, self.messages)
        if not self._entered:
            self._entered_ns = self._now_ns()
        self._entered.append(stamped)
        return stamped

    def write_down(self) -> None:
        """Append what was entered since last time."""
        if not self._entered:
            return
        # Taken out first: behind a message that the host refused no other can be appended.
        entered, self._entered = self._entered, []
        for frame in entered:
            self._writer.append(frame, self._entered_ns)

    def tick(self) -> None:
        """Hand the open chunk to the host when it is due."""
        self.write_down()
        self._writer.flush_if_due(self._now_ns())

    def due_in_ns(self) -> int | None:
        """How long the open chunk may stay open."""
        due_ns = self._writer.due_ns
        return None if due_ns is None else max(0, due_ns - self._now_ns())

    def _now_ns(self) -> int:
        return self._epoch_ns + time.monotonic_ns()

    def mark(self) -> Point:
        """Close the chunk; the next one begins there."""
        self.write_down()
        return self._writer.mark()

    def digest(self) -> bytes:
        """The chain's digest (docs/log-format.md)."""
        self.write_down()
        return self._writer.digest()

    def close(self, *, clean: bool) -> None:
        """Finish a clean log with its summary; hand over what there is of another."""
        if clean:
            self.write_down()
            self._writer.finish()
            return
        # Where the host has just refused a write it may refuse this one too: what it has, it has.
        with suppress(LogError):
            self.write_down()
            self._writer.flush_if_due(FOREVER_NS)
        self._writer.abandon()
