"""The gate of a replay: the log's answers count, and a local backend only listens."""

from __future__ import annotations

import errno
import logging
import os
import select
from collections import deque
from typing import TYPE_CHECKING, Final

from machine.errors import BackendError
from machine.icount import BROKER
from machine.message import BackendResult, HostEvent, HostInput, HostOutput, Quit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devices.link import Link
    from devices.model import Backend

log = logging.getLogger("dejavm")

HELD_BYTES: Final = 1 << 18
"""Recorded output kept for a local backend that is slower than the replay."""
REPLAY_ROOM: Final = 4096
"""While replaying the backend is always read, so that its escape keys work; what it says is refused."""
DRAIN_MS: Final = 2000
"""How long a leaving replay waits for a local backend that still takes recorded output."""


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

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The backend's."""
        return self._backend.descriptors(room)

    def output(self, data: bytes) -> BackendResult:
        """What the recorded backend took is what this one gets."""
        result = self._link.ask(HostOutput(data), BackendResult)
        taken = data[: result.accepted]
        self.bytes_out += result.accepted
        self._listen(taken)
        self._backend.passed(taken, self._link.icount, inbound=False)
        return result

    def delivered(self, message: HostInput) -> None:
        """Recorded input does not come from here."""
        if message.event is HostEvent.DATA:
            self.bytes_in += len(message.data)
            self._backend.passed(message.data, self._link.icount, inbound=True)

    def keep(self, seq: int, state: bytes) -> None:
        """A replay needs nothing but its log."""

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

    def change(self, word: str, make: Callable[[str], Backend]) -> bool:
        """Somebody else listens from here on."""
        if self._backend.take_word(word):
            return True
        new = make(word)
        try:
            new.open(self._refuse)
        except BackendError:
            new.close()
            raise
        self._backend.close()
        self._backend, self._blocked = new, False
        return False

    def close(self) -> None:
        """Give the backend the rest it is still willing to take, then close it."""
        while self._held and self._wait_writable():
            self._pass_on()
        if self.dropped or self._held:
            log.warning("%d bytes of recorded output were not taken here", self.dropped + self._held_bytes)
        if self.refused:
            log.warning("in all %d inputs were ignored", self.refused)
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
