"""The log in place of the broker and all devices: what the CPU says is compared, what it is told is read.

Lives here: one walk over the recording's messages.
Never here: sockets; a process that has none can be forked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpu_node.link import Link
from machine.codec import decode, encode, type_of
from machine.frame import FIRST_INPUT_TYPE, Frame
from machine.icount import CPU
from machine.message import Grant, Message, Saved, StopRequest, Sync
from machine.recording.compare import divergence, silence
from machine.recording.format import node_name, node_names
from machine.recording.place import START
from machine.recording.stops import STOPS, SYNC_POINT, Stops, closes_stop
from machine.recording.trusted import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.errors import LogError
    from machine.recording.place import Point
    from machine.recording.reader import Recording

STOP_REQUEST: Final = type_of(StopRequest)
SYNC: Final = type_of(Sync)
_GRANT: Final = Frame(type_of(Grant), 0, CPU, 0, b"")


class EndOfLog(Exception):
    """The recording has no more for the CPU, and the CPU nothing more for it."""


class LogLink(Link):
    """The CPU's side of a recording.  Divergence wherever the CPU does not do what it did."""

    def __init__(self, recording: Recording, start: Point = START) -> None:
        self.kicked = False
        self._recording = recording
        self._names = node_names(recording.board)
        self.damage: list[LogError] = []
        """Why the log cannot be trusted to its end, once it has been read up to there, which is ahead of the CPU."""
        self._frames = _of_the_cpu(trusted(recording.frames(start), self.damage))
        self._ahead: Frame | None = next(self._frames, None)
        self._told_until = 0
        """How far the run has come by the messages that were read ahead; one who says one executes it."""
        self._all_read = False
        self._stops = Stops(_of_the_cpu(self._noted(trusted(recording.frames(start), self.damage))))
        self.grant = self._stops.take()
        """How far the CPU runs."""
        self.waits_at: int | None = None
        """Where the CPU waits for something that the log does not have."""
        self._in_sync_point = False
        self.on_saved: Callable[[Saved, int], None] = _nobody
        """Hears the state that was wanted, and the instruction count it is of."""
        self.seq = start.seq
        """The last message that has happened."""

    def send(self, message: Message, target: int, icount: int) -> None:
        """The CPU says something; flow control is nobody's business but Sync, which must be where it was."""
        number = type_of(type(message))
        said = Frame(number, CPU, target, icount, encode(message))
        if number == SYNC:
            self._check_sync(said)
        elif number >= FIRST_INPUT_TYPE:
            ahead = self._ahead
            if ahead is None:
                raise EndOfLog
            if said != ahead._replace(seq=0):
                raise divergence(ahead, said, self._name)
            self._pass()

    def look(self) -> bool:
        """Nobody asks for a stop."""
        return False

    def begins_anew(self) -> bool:
        """Whether the machine goes on behind the end that the guest has asked for."""
        return self._ahead is not None and self._ahead.type == SYNC_POINT

    def await_word(self) -> bool:
        """What a sleeping CPU is told is in the log."""
        return True

    def next(self, icount: int) -> tuple[Frame, Message]:
        """The next delivery, or the Grant that ends a sync point; EndOfLog behind the last."""
        ahead = self._ahead
        if self._in_sync_point and closes_stop(ahead):
            self._in_sync_point = False
            return _GRANT, self.grant
        if ahead is None:
            raise EndOfLog
        if ahead.source == CPU:
            self.waits_at = icount
            raise silence(ahead, f"the CPU waits at {icount}", self._name)
        if ahead.icount != icount:
            raise self._misplaced(ahead, icount)
        self._pass()
        if ahead.type in STOPS:
            self.grant = self._stops.take()
        self._in_sync_point = ahead.type in STOPS or (self._in_sync_point and ahead.type != STOP_REQUEST)
        return ahead, decode(ahead.type, ahead.payload)

    def has_passed(self, seq: int) -> bool:
        """Whether every message up to that one has happened, as far as the CPU has to do with it."""
        return self._ahead is None or self._ahead.seq > seq

    @property
    def _whole(self) -> bool:
        """Whether the log has its end, and nothing damaged in front of it was seen.  Looks at the log's end, once."""
        return self._recording.clean_end and not self.damage

    @property
    def bound(self) -> int | None:
        """Where no run of the recording has come, or nobody knows what it did there; None in front of the last stop.

        To be asked where nothing else says how far the CPU runs.
        """
        if self._whole:
            return self._recording.end_icount + 1
        return self._told_until if self._all_read else None

    def check_bound(self, icount: int) -> None:
        """Divergence where the CPU has come further than the machine did: it may have nothing to say for long.

        EndOfLog where a log that has lost its end tells no more: a message may have been next.
        """
        ahead, bound = self._ahead, self.bound
        if bound is None or icount < bound:
            return
        if ahead is not None:
            raise silence(ahead, f"the CPU runs on at {icount}", self._name)
        if not self._whole:
            raise EndOfLog

    def saved(self, saved: Saved, icount: int) -> None:
        """The state that was wanted."""
        self.save_wanted = False
        self.on_saved(saved, icount)

    def _check_sync(self, said: Frame) -> None:
        ahead = self._ahead
        if ahead is None:
            raise EndOfLog
        if ahead.type not in STOPS or ahead.icount != said.icount:
            raise divergence(ahead, said, self._name)

    def _noted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self._told_until = max(self._told_until, frame.icount + (1 if frame.source == CPU else 0))
            yield frame
        self._all_read = True

    def _pass(self) -> None:
        assert self._ahead is not None
        self.seq = self._ahead.seq
        self.talked += 1
        self._ahead = next(self._frames, None)

    def _name(self, number: int) -> str:
        return node_name(self._names, number)


def _nobody(_saved: Saved, _icount: int) -> None:
    pass


def _of_the_cpu(frames: Iterator[Frame]) -> Iterator[Frame]:
    """What the CPU said and was told."""
    return (frame for frame in frames if CPU in (frame.source, frame.target))
