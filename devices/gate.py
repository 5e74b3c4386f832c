"""Where a device meets its backend: one gate for the present, one for what is past.

Lives here: who decides what the backend took, and what becomes of what it wants to say.
Never here: which mode is which to a model; it cannot tell.
"""

from __future__ import annotations

import errno
import logging
import os
import select
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from machine.errors import BackendError
from machine.icount import BROKER
from machine.message import BackendResult, HostEvent, HostInput, HostOutput, Quit, RunMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.link import Link
    from devices.model import Backend

log = logging.getLogger("dejavm")

HELD_BYTES: Final = 1 << 18
"""Recorded output kept for a local backend that is slower than the replay."""
REPLAY_ROOM: Final = 4096
"""While replaying the backend is always read, so that its escape keys work; what it says is refused."""
DRAIN_MS: Final = 2000
"""How long a leaving replay waits for a local backend that still takes recorded output."""


class Gate(Protocol):
    """The shell's view of its backend."""

    @property
    def backend(self) -> Backend:
        """The backend that is there now."""

    bytes_out: int
    bytes_in: int
    """What the backend took and what of it has been delivered."""

    def open(self) -> None:
        """Open the backend; BackendError names what cannot be had."""

    def room(self, model_room: int) -> int:
        """How many bytes the backend may be read for, when the model can hold `model_room`."""

    def output(self, data: bytes) -> BackendResult:
        """Give bytes to the backend; the answer is the recorded one."""

    def delivered(self, data: bytes) -> None:
        """The broker has delivered that input."""

    def handled(self, room: int) -> None:
        """A message has been handled; its Done has not been sent."""

    def served(self) -> None:
        """The backend's descriptors have been served."""

    def loaded(self) -> None:
        """The model is in another state than it has come to by itself."""

    def change(self, word: str, make: Callable[[str], Backend]) -> None:
        """Put another backend in place of this one, which stays if BackendError is raised."""

    def close(self) -> None:
        """Let go of the backend; nothing is raised."""


class LiveGate:
    """The present: the backend's answers count and go into the log."""

    def __init__(self, link: Link, backend: Backend) -> None:
        self._link = link
        self._backend = backend
        self._quit_said = False
        self.bytes_out = self.bytes_in = 0
        self._in_flight = 0
        """Bytes submitted and not delivered yet."""
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

    def output(self, data: bytes) -> BackendResult:
        """Ask the host and write down what it says."""
        self._link.say(HostOutput(data), BROKER)
        result = self._backend.write(data)
        self._link.say(result, BROKER)
        self.bytes_out += result.accepted
        self._backend.passed(data[: result.accepted], self._link.icount, inbound=False)
        return result

    def delivered(self, data: bytes) -> None:
        """Room is the model's business again."""
        self._in_flight = max(0, self._in_flight - len(data))
        self.bytes_in += len(data)
        self._backend.passed(data, self._link.icount, inbound=True)

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
        """It has been powered on in the past that it comes from."""
        self._powered = True

    def change(self, word: str, make: Callable[[str], Backend]) -> None:
        """The guest sees the line go down and, if the new other side is there, up again."""
        if self._backend.take_word(word):
            return
        new = make(word)
        said: list[tuple[HostEvent, bytes, int]] = []

        def submit(event: HostEvent, data: bytes, delay_ns: int) -> None:
            if self._backend is new:
                self._submit(event, data, delay_ns)
            else:
                said.append((event, data, delay_ns))

        try:
            new.open(submit)
        except BackendError:
            new.close()
            raise
        self._backend.close()
        self._backend = new
        self._submit(HostEvent.CLOSED, b"", 0)
        if not any(event in (HostEvent.OPENED, HostEvent.CLOSED) for event, _, _ in said):
            self._submit(HostEvent.OPENED, b"", 0)
        for event, data, delay_ns in said:
            self._submit(event, data, delay_ns)

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()

    def _submit(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        if event is HostEvent.DATA:
            self._in_flight += len(data)
        message = HostInput(event, data, delay_ns)
        if self._powered:
            self._link.say(message, BROKER)
        else:
            self._early.append(message)

    def _say_quit(self) -> None:
        if not self._quit_said and self._backend.wants_quit():
            self._quit_said = True
            self._link.say(Quit(), BROKER)


class ReplayGate:
    """The past: the log's answers count; a local backend only listens."""

    def __init__(self, link: Link, backend: Backend) -> None:
        self._link = link
        self._backend = backend
        self._quit_said = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._blocked = False
        self.bytes_out = self.bytes_in = 0
        self.dropped = 0
        """Recorded bytes the local backend did not take."""
        self.refused = 0
        """Submissions of the local backend that are not part of the recording."""

    @property
    def backend(self) -> Backend:
        """The backend that is there now."""
        return self._backend

    def open(self) -> None:
        """Open the backend to listen."""
        self._backend.open(self._refuse)

    def room(self, model_room: int) -> int:
        """Independent of the model: nothing that is read here reaches it."""
        return REPLAY_ROOM

    def output(self, data: bytes) -> BackendResult:
        """What the recorded backend took is what this one gets."""
        result = self._link.ask(HostOutput(data), BackendResult)
        taken = data[: result.accepted]
        self.bytes_out += result.accepted
        self._listen(taken)
        self._backend.passed(taken, self._link.icount, inbound=False)
        return result

    def delivered(self, data: bytes) -> None:
        """Recorded input does not come from here."""
        self.bytes_in += len(data)
        self._backend.passed(data, self._link.icount, inbound=True)

    def handled(self, room: int) -> None:
        """Nothing is submitted, so nothing has waited."""

    def served(self) -> None:
        """Go on with what the backend did not take before; pass on that the user wants to leave."""
        self._pass_on()
        if not self._quit_said and self._backend.wants_quit():
            self._quit_said = True
            self._link.say(Quit(), BROKER)
            self._link.flush()

    def loaded(self) -> None:
        """What was held back belongs to another time."""
        self._held.clear()
        self._held_bytes = 0

    def change(self, word: str, make: Callable[[str], Backend]) -> None:
        """Somebody else listens from here on."""
        if self._backend.take_word(word):
            return
        new = make(word)
        try:
            new.open(self._refuse)
        except BackendError:
            new.close()
            raise
        self._backend.close()
        self._backend, self._blocked = new, False

    def close(self) -> None:
        """Give the backend the rest it is still willing to take, then close it."""
        while self._held and self._wait_writable():
            self._pass_on()
        if self.dropped or self._held:
            log.warning("%d bytes of recorded output were not taken here", self.dropped + self._held_bytes)
        self._backend.close()

    def _listen(self, data: bytes) -> None:
        if not data:
            return
        if len(data) <= HELD_BYTES - self._held_bytes:
            self._held.append(data)
            self._held_bytes += len(data)
        else:
            self._drop(len(data), "it is slower than the replay")
        self._pass_on()

    def _pass_on(self) -> None:
        """One message after the other, for backends to which its bounds matter; its trouble stays local."""
        while self._held and not self._blocked:
            data = self._held[0]
            result = self._backend.write(data)
            self._held_bytes -= result.accepted
            if result.error:
                why = os.strerror(result.error) if result.error in errno.errorcode else "it failed"
                self._drop(self._held_bytes, why)
                self._held.clear()
                self._held_bytes = 0
            elif result.accepted < len(data):
                self._held[0] = data[result.accepted :]
                self._blocked = True
            else:
                self._held.popleft()

    def _drop(self, count: int, why: str) -> None:
        if count and not self.dropped:
            log.warning("this backend misses recorded output: %s; the replay is not affected", why)
        self.dropped += count

    def _refuse(self, event: HostEvent, data: bytes, delay_ns: int) -> None:
        """What tells that output is taken again is for us; all else would be new and the recording has no place for it.

        Who has gone owes nothing any more, and who has come is not the one who did.
        """
        if event in (HostEvent.WRITABLE, HostEvent.OPENED, HostEvent.CLOSED):
            self._blocked = False
        elif event in (HostEvent.DATA, HostEvent.BREAK):
            if not self.refused:
                log.warning("input is ignored: this is a replay")
            self.refused += 1

    def _wait_writable(self) -> bool:
        """Wait for the backend to take more; False when it does not."""
        if not self._blocked:
            return True
        poller = select.poll()
        wanted = [fd for fd, _, writes in self._backend.descriptors(0) if writes]
        for descriptor in wanted:
            poller.register(descriptor, select.POLLOUT)
        if not wanted or not poller.poll(DRAIN_MS):
            return False
        for descriptor in wanted:
            self._backend.ready(descriptor, False, True, 0)
        return not self._blocked


def open_gate(mode: RunMode, link: Link, backend: Backend) -> Gate:
    """The gate for a mode; the log replaces devices in REPLAY_LOG, so it has none."""
    gate: Gate = ReplayGate(link, backend) if mode is RunMode.REPLAY_LIVE else LiveGate(link, backend)
    gate.open()
    return gate
