"""The gate of a device that stands in for one that has died: first the past, as the log has it, then the present."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from devices.gate import LiveGate, Past
from machine.errors import MachineError
from machine.message import BackendResult, HostEvent, HostInput, HostOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.journal import Journal
    from devices.link import Link
    from devices.model import Backend
    from machine.message import Present

RELIVED_INPUTS: Final = 1 << 16
"""Inputs of a backend that relives its past, the newest; the broker has had all but a few of them."""


class PastGate:
    """A LiveGate whose time has not come, and what must be known of the past when it does."""

    def __init__(self, link: Link, backend: Backend, journal: Journal, make: Callable[[str], Backend]) -> None:
        self._link = link
        self._journal = journal
        self._make = make
        self._live = LiveGate(link, backend, journal)
        self._is_past = True
        kept = journal.kept()
        self._memory = kept.backend
        self._inputs = kept.inputs
        self._outputs = kept.outputs
        self._in_flight = kept.waiting_bytes
        self._owes = kept.owes
        self._powered = kept.seq > 0
        self._relived: deque[tuple[int, HostInput]] = deque(maxlen=RELIVED_INPUTS)

    @property
    def backend(self) -> Backend:
        """The backend that is there now, or will be."""
        return self._live.backend

    @property
    def bytes_out(self) -> int:
        """Of the present."""
        return self._live.bytes_out

    @property
    def bytes_in(self) -> int:
        """Of the present."""
        return self._live.bytes_in

    @property
    def refused(self) -> int:
        """Of the present."""
        return self._live.refused

    def open(self) -> None:
        """Have the backend remember; the host is for later."""
        self.backend.recall(self._memory, self._relive)

    def room(self, model_room: int) -> int:
        """As it was then."""
        return max(0, model_room - self._in_flight) if self._is_past else self._live.room(model_room)

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The past waits for nothing of the host's."""
        return () if self._is_past else self._live.descriptors(room)

    def output(self, data: bytes) -> BackendResult:
        """The host's answer is in the log, unless this is where the predecessor died."""
        if not self._is_past:
            return self._live.output(data)
        result = self._link.ask_past(HostOutput(data), BackendResult)
        if result is None:
            return self._live.carry_out(data)
        self._outputs += 1
        self._owes = result.accepted < len(data) and not result.error
        taken = data[: result.accepted]
        if self.backend.relives and taken:
            self.backend.write(taken)
        self.backend.passed(taken, self._link.icount, inbound=False)
        return result

    def delivered(self, message: HostInput) -> None:
        """Count what was on its way."""
        if not self._is_past:
            self._live.delivered(message)
        elif message.event is HostEvent.WRITABLE:
            self._owes = False
        elif message.event is HostEvent.DATA:
            self._in_flight = max(0, self._in_flight - len(message.data))
            self.backend.passed(message.data, self._link.icount, inbound=True)

    def handled(self, room: int) -> None:
        """What the backend said here it says again, and nobody hears it."""
        self._powered = True
        if not self._is_past:
            self._live.handled(room)
        elif self.backend.relives:
            self.backend.advance(room)

    def served(self) -> None:
        """The past has nobody to serve."""
        if not self._is_past:
            self._live.served()

    def loaded(self) -> None:
        """The past is known another way."""
        self._live.loaded()

    def change(self, word: str, make: Callable[[str], Backend]) -> bool:
        """Asked for in the present."""
        return self._live.change(word, make)

    def keep(self, seq: int, state: bytes) -> None:
        """The past is kept already."""
        if not self._is_past:
            self._live.keep(seq, state)

    def close(self) -> None:
        """Close what is open."""
        self._live.close()

    def present(self, message: Present) -> None:
        """The past is over.  BackendError if the host's side cannot be had again, MachineError if input is lost."""
        self._is_past = False
        if message.backend:
            self._live.replace(self._make(message.backend))
        relives = self.backend.relives
        if not relives and self._journal.missed > message.inputs:
            raise MachineError(f"{self._journal.path}: there was no room for input that the broker has not had")
        known = self._relived if relives else self._journal.submitted_after(message.inputs)
        unsaid = [said for number, said in known if number > message.inputs]
        inputs = self._inputs if relives else max(message.inputs, self._journal.last_input)
        past = Past(inputs, self._outputs, message.waiting_bytes, self._owes, self._powered, unsaid)
        self._live.take_over(past)

    def _relive(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        self._inputs += 1
        self._in_flight += len(data) if event is HostEvent.DATA else 0
        self._relived.append((self._inputs, HostInput(event, data, delay_ns)))
