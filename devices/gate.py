"""Where a device meets its backend: the gate of the present; past_gate.py and replay_gate.py have the others.

Lives here: who decides what the backend took, and what becomes of what it wants to say.
Never here: which mode is which to a model; it cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from devices.journal import Kept
from machine.errors import BackendError
from machine.icount import BROKER
from machine.message import BackendResult, Checkpoint, HostEvent, HostInput, HostOutput, Quit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.journal import Journal
    from devices.link import Link
    from devices.model import Backend


WHOLE_LINE: Final = b""
"""OPENED and CLOSED of a device that has one line only."""


class Gate(Protocol):
    """The shell's view of its backend."""

    @property
    def backend(self) -> Backend:
        """The backend that is there now."""

    @property
    def bytes_out(self) -> int:
        """What the backend took."""

    @property
    def bytes_in(self) -> int:
        """What of the backend has been delivered."""

    @property
    def refused(self) -> int:
        """Inputs of a backend that only listens, which are no part of the run."""

    def open(self) -> None:
        """Open the backend; BackendError names what cannot be had."""

    def room(self, model_room: int) -> int:
        """How many bytes the backend may be read for, when the model can hold `model_room`."""

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """What is to be waited for on the host's side, as Backend.descriptors."""

    def output(self, data: bytes) -> BackendResult:
        """Give bytes to the backend; the answer is the recorded one."""

    def delivered(self, message: HostInput) -> None:
        """The broker has delivered that input of the backend."""

    def handled(self, room: int) -> None:
        """A message has been handled; its Done has not been sent."""

    def keep(self, seq: int, state: bytes) -> None:
        """Keep the model's state, and all else that a successor must know, as of in front of message `seq`."""

    def served(self) -> None:
        """The backend's descriptors have been served."""

    def loaded(self) -> None:
        """The model is in another state than it has come to by itself."""

    def change(self, word: str, make: Callable[[str], Backend]) -> bool:
        """Put another backend in place of this one, which stays if BackendError is raised.

        Whether it stays otherwise, too: it has become what the word asks for.
        """

    def close(self) -> None:
        """Let go of the backend; nothing is raised."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a gate for the past has come to; the numbers are as in devices/journal.py, Kept."""

    inputs: int
    outputs: int
    waiting_bytes: int
    owes: bool
    powered: bool
    unsaid: Sequence[HostInput]
    """Inputs that the broker has not had."""


class LiveGate:
    """The present: the backend's answers count and go into the log.

    With a journal everything that passes is kept for a successor, and what a predecessor has done is not done again.
    """

    def __init__(self, link: Link, backend: Backend, journal: Journal | None = None) -> None:
        self._link = link
        self._backend = backend
        self._journal = journal
        self._quit_said = False
        self.bytes_out = self.bytes_in = self.refused = 0
        self._in_flight = 0
        """Bytes submitted and not delivered yet."""
        self._inputs = 0
        self._outputs = 0
        self._owes = False
        """The backend took less than it was given and has not said that it takes more."""
        self._powered = False
        self._early: list[HostInput] = []
        """What the backend said before the device's power-on; it is said behind that."""

    @property
    def backend(self) -> Backend:
        """The backend that is there now."""
        return self._backend

    def open(self) -> None:
        """Open the backend for both directions."""
        self._backend.open(self._submit)

    def room(self, model_room: int) -> int:
        """What is on its way takes room too."""
        return max(0, model_room - self._in_flight)

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The backend's."""
        return self._backend.descriptors(room)

    def output(self, data: bytes) -> BackendResult:
        """Ask the host and write down what it says."""
        self._link.say(HostOutput(data), BROKER)
        return self.carry_out(data)

    def carry_out(self, data: bytes) -> BackendResult:
        """The same for an output that has been said already."""
        result = self._write(data)
        self._owes = result.accepted < len(data) and not result.error
        self._link.say(result, BROKER)
        self.bytes_out += result.accepted
        self._backend.passed(data[: result.accepted], self._link.icount, inbound=False)
        return result

    def delivered(self, message: HostInput) -> None:
        """Room is the model's business again."""
        if message.event is HostEvent.WRITABLE:
            self._owes = False
        elif message.event is HostEvent.DATA:
            self._in_flight = max(0, self._in_flight - len(message.data))
            self.bytes_in += len(message.data)
            self._backend.passed(message.data, self._link.icount, inbound=True)

    def keep(self, seq: int, state: bytes) -> None:
        """Keep everything a successor must know in front of message `seq`, and tell the broker."""
        if self._journal is not None:
            memory = self._backend.memory()
            self._journal.keep(Kept(seq, state, memory, self._inputs, self._outputs, self._in_flight, self._owes))
            self._link.say(Checkpoint(seq), BROKER)

    def replace(self, backend: Backend) -> None:
        """The backend that take_over() will find: it was changed while the predecessor lived."""
        self._backend = backend

    def take_over(self, past: Past) -> None:
        """Go on where a predecessor has left off: what it has brought and the broker has not had is said again."""
        self._inputs, self._outputs, self._in_flight = past.inputs, past.outputs, past.waiting_bytes
        self._owes, self._powered = past.owes, past.powered
        for message in past.unsaid:
            self._say(message)
        if not self._backend.resume(self._submit, owes=self._owes):
            self._open_as_new(self._backend)
        self._link.flush()

    def handled(self, room: int) -> None:
        """What the backend says now precedes Done, in every run."""
        self._powered = True
        for message in self._early:
            self._link.say(message, BROKER)
        self._early.clear()
        self._backend.advance(room)
        self._say_quit()

    def served(self) -> None:
        """Pass on what the backend had to say."""
        self._say_quit()
        self._link.flush()

    def loaded(self) -> None:
        """It has been powered on in the past that it comes from, and whoever was behind the line then has gone.

        The guest sees what it would see of another cable: it was pulled out, and perhaps another is in its place.
        """
        self._powered = True
        said, self._early = self._early, []
        events = [message.event for message in said]
        parting = self._backend.parting()
        if events[:1] != [HostEvent.CLOSED]:
            for data in parting:
                self._submit(HostEvent.CLOSED, data, 0)
        if WHOLE_LINE in parting and not {HostEvent.OPENED, HostEvent.CLOSED} & set(events):
            self._submit(HostEvent.OPENED, WHOLE_LINE, 0)
        for message in said:
            self._link.say(message, BROKER)

    def change(self, word: str, make: Callable[[str], Backend]) -> bool:
        """The guest sees the line go down and, if the new other side is there, up again."""
        if self._backend.take_word(word):
            return True
        new = make(word)
        old, self._backend = self._backend, new
        try:
            self._open_as_new(new)
        except BackendError:
            self._backend = old
            new.close()
            raise
        old.close()
        return False

    def _open_as_new(self, new: Backend) -> None:
        """Open a backend behind a device that has had another one."""
        said: list[tuple[HostEvent, bytes, int]] = []
        opened = False

        def submit(event: HostEvent, data: bytes, delay_ns: int) -> None:
            if opened:
                self._submit(event, data, delay_ns)
            else:
                said.append((event, data, delay_ns))

        new.open(submit)
        opened = True
        self._submit(HostEvent.CLOSED, b"", 0)
        if not any(event in (HostEvent.OPENED, HostEvent.CLOSED) for event, _, _ in said):
            self._submit(HostEvent.OPENED, b"", 0)
        for event, data, delay_ns in said:
            self._submit(event, data, delay_ns)

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()

    def _write(self, data: bytes) -> BackendResult:
        self._outputs += 1
        journal, number = self._journal, self._outputs
        if journal is None:
            return self._backend.write(data)
        journal.weigh(len(data))
        # What relives its past does again what it has done.
        done = None if self._backend.relives else journal.result_of(number)
        if done is not None:
            return done
        again = journal.begun == number
        journal.begin_output(number)
        result = self._backend.write_again(data) if again else self._backend.write(data)
        journal.end_output(number, result)
        return result

    def _submit(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        message = HostInput(event, data, delay_ns)
        self._inputs += 1
        if self._journal is not None:
            self._journal.submit(self._inputs, message)
        self._say(message)

    def _say(self, message: HostInput) -> None:
        if message.event is HostEvent.DATA:
            self._in_flight += len(message.data)
        if self._powered:
            self._link.say(message, BROKER)
        else:
            self._early.append(message)

    def _say_quit(self) -> None:
        if not self._quit_said and self._backend.wants_quit():
            self._quit_said = True
            self._link.say(Quit(), BROKER)
