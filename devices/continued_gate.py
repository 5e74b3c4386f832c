"""The gate of a device whose broker has died: its model is put into a saved state, its backend remembers the log.

Theory of operation.  The machine has been taken back to a message of the log.  What a backend knows is no part of the
saved state; but all that has passed between it and the device is in the log, and is told it again: a script comes to
the step where it was, a file and a capture are written anew up to there.  What the process of the run before had
brought and the log does not have is in its journal.  Then the host's side is taken over as by the successor of a
process that has died, from the descriptor store.

Lives here: what is read of the log and of the journal.  Never here: the model.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from devices.gate import LiveGate
from devices.journal import Journal
from machine.codec import decode, type_of
from machine.errors import MachineError
from machine.message import BackendResult, Done, HostEvent, HostInput, HostOutput
from machine.parts import MOST_BYTES, read_frames, unpack_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devices.link import Link
    from devices.model import Backend
    from machine.frame import Frame
    from machine.message import Welcome

_INPUT: Final = type_of(HostInput)


SMALL: Final = 256
"""Bytes that a queue which has become smaller may never hold at once, and which are said without waiting for that."""


@dataclass(frozen=True, slots=True)
class Past:
    """What has passed between a device and its backend up to message `seq`; `frames` reads it from the beginning."""

    seq: int
    frames: Callable[[], Iterator[Frame]]
    since: int = 0
    """The message behind which the backend came that is there now: what was before has passed through another one."""

    @classmethod
    def read(cls, welcome: Welcome) -> Past:
        """What the log has of it."""
        last, number = welcome.continued_seq, welcome.number

        def frames() -> Iterator[Frame]:
            # Imported here: few brokers die, and it takes a fifth of the time in which a device comes up.
            from machine.recording.dealings import dealings  # noqa: PLC0415

            # A machine that begins again at power-on may have no log at all.
            return dealings(Path(welcome.continued), number, last) if last else iter(())

        return cls(last, frames, welcome.backend_seq)

    @classmethod
    def fetch(cls, welcome: Welcome, link: Link, path: Path) -> Past:
        """The same, told by a broker on another host, and kept in a file."""
        try:
            with path.open("wb") as file:
                link.take_parts(lambda part: file.write(unpack_part(part, part.offset + MOST_BYTES)))
        except OSError as error:
            raise MachineError(f"{path}: cannot keep what the broker tells: {error.strerror}") from error

        def frames() -> Iterator[Frame]:
            with path.open("rb") as file:
                yield from read_frames(file)

        return cls(welcome.continued_seq, frames, welcome.backend_seq)

    def journal(self, path: Path, backend: Backend) -> Journal:
        """A journal for the present, with what the last process had brought beyond the past.

        Without it, where the backend says that again by itself, or has it gone with what had said it.
        """
        unsaid: list[HostInput] = []
        looked = True
        if path.exists():
            before = Journal(path, new=False)
            unsaid = [] if backend.relives or backend.replugs else self._undelivered(before)
            looked = before.last_input >= before.peeked
            before.forget()
        return Journal.behind(path, self.seq, unsaid, looked=looked)

    def inputs(self, behind: int = 0) -> Iterator[HostInput]:
        """What the backend has brought, as it was delivered, behind message `behind`."""
        for frame in self.frames():
            if frame.type == _INPUT and frame.seq > behind:
                message = decode(frame.type, frame.payload)
                if isinstance(message, HostInput) and not message.by_monitor:
                    yield message

    def _undelivered(self, before: Journal) -> list[HostInput]:
        """The inputs in a journal that the log does not have.  MachineError if there was no room for one of them."""
        kept = before.submitted_after(0)
        if not kept and not before.missed:
            # A log may be long: most backends have brought nothing.
            return []
        # What the journal does not have any more has been delivered long ago.
        forgotten = kept[0][0] - 1 if kept else before.missed
        delivered = self.inputs(before.base)
        if len(list(islice(delivered, forgotten))) < before.missed:
            raise MachineError(f"{before.path}: there was no room for input that the log does not have either")
        had = Counter(delivered)
        left = _without([message for _, message in kept], had)
        # What was said again at a pace has had another delay.
        paced: Counter[HostInput] = Counter()
        for message, times in had.items():
            paced[_at_once(message)] += times
        return _without(left, paced, _at_once)


class ContinuedGate(LiveGate):
    """The present behind a past."""

    def __init__(self, link: Link, backend: Backend, journal: Journal, past: Past) -> None:
        super().__init__(link, backend, journal)
        self._past = past
        self._unsaid = deque(message for _, message in journal.submitted_after(0))
        self._free = 0
        """What the model can hold beyond what is on its way."""
        self._awaited = False
        """One of them is on its way, and those behind it come only when it has arrived."""
        self._inputs = len(self._unsaid)
        self._again: deque[HostInput] = deque()
        """What the backend has said again, and the log has not delivered yet."""

    def open(self) -> None:
        """Have the backend remember.  BackendError."""
        self._backend.recall(b"", self._relive)
        # Whoever says more than was delivered says it in the present, where there is room for it.
        relives = self._backend.relives
        left = sum(_size_of(message) for message in self._past.inputs(self._past.since)) if relives else 0
        said = b""
        for frame in self._past.frames():
            if frame.seq <= self._past.since:
                continue
            # What is said next is said behind it.
            self._link.icount = frame.icount
            message = decode(frame.type, frame.payload)
            match message:
                case HostOutput(data):
                    said = data
                case BackendResult(accepted, error):
                    self._tell(said[:accepted], frame.icount)
                    self._owes = accepted < len(said) and not error
                case HostInput(by_monitor=False):
                    self._pass_in(message.event, message.data, frame.icount)
                    left -= _size_of(message)
                case Done() if relives:
                    self._backend.advance(max(0, left - sum(len(each.data) for each in self._again)))
                case _:
                    pass

    def loaded(self) -> None:
        """The past is over: go on where it was left."""
        # At power-on everything is said behind the first Reset.
        self._powered = self._past.seq > 0
        self._say_what_fits()
        if not self._backend.resume(self._submit, owes=self._owes):
            if self._powered:
                self._open_as_new(self._backend)
            else:
                self._backend.open(self._submit)
        for message in self._again:
            self._submit(message.event, message.data, message.delay_ns)
        self._again.clear()

    def room(self, model_room: int) -> int:
        """None for the host while there is something that it has brought already."""
        self._free = super().room(model_room)
        return 0 if self._holds_back else self._free

    def delivered(self, message: HostInput) -> None:
        """Another may follow."""
        self._awaited = False
        super().delivered(message)

    def handled(self, room: int) -> None:
        """As much more of that as the model can hold."""
        self._say_what_fits()
        super().handled(0 if self._holds_back else room)

    @property
    def _holds_back(self) -> bool:
        return bool(self._unsaid) or self._awaited

    def _say_what_fits(self) -> None:
        """It was read bit by bit as there was room; what is said all at once a model with a full queue would drop."""
        while self._unsaid and not self._awaited:
            size = _size_of(self._unsaid[0])
            if size > self._free and (size > SMALL or self._in_flight or not self._free):
                return
            self._free = max(0, self._free - size)
            message, pace_ns = self._unsaid.popleft(), self._backend.pace_ns
            self._awaited = pace_ns > 0
            super()._say(replace(message, delay_ns=max(message.delay_ns, pace_ns)))

    def _say(self, message: HostInput) -> None:
        """What comes behind that waits behind that."""
        if self._holds_back:
            self._unsaid.append(message)
        else:
            super()._say(message)

    def _tell(self, taken: bytes, icount: int) -> None:
        if self._backend.relives and taken:
            self._backend.write(taken)
        self._backend.passed(taken, icount, inbound=False)

    def _pass_in(self, event: HostEvent, data: bytes, icount: int) -> None:
        if event is HostEvent.WRITABLE:
            self._owes = False
        if event is not HostEvent.DATA:
            return
        self._backend.passed(data, icount, inbound=True)
        if self._again and self._again[0].data.startswith(data):
            first = self._again.popleft()
            if rest := first.data[len(data) :]:
                self._again.appendleft(HostInput(first.event, rest, 0))

    def _relive(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        self._again.append(HostInput(event, data, delay_ns))


def _without(
    brought: list[HostInput], had: Counter[HostInput], key: Callable[[HostInput], HostInput] = lambda message: message
) -> list[HostInput]:
    """What was brought and not had, by `key`; what was had and brought is taken out of `had`.

    With delays one overtakes another; of equal ones the first was had first.
    """
    left = []
    for message in brought:
        if had[key(message)]:
            had[key(message)] -= 1
        else:
            left.append(message)
    return left


def _at_once(message: HostInput) -> HostInput:
    return replace(message, delay_ns=0)


def _size_of(message: HostInput) -> int:
    """The bytes of an input."""
    return len(message.data) if message.event is HostEvent.DATA else 0
