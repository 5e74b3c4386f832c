"""One client of the monitor: its socket, what it may cost, and the language it speaks.

Lives here: bytes in both directions, and every bound on them.
Never here: which clients there are (monitor.py).
"""

from __future__ import annotations

import logging
import select
import socket
from typing import TYPE_CHECKING, Final, Protocol

from replay_broker.monitor.documents import Overlong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger("dejavm")

READ_BYTES: Final = 1 << 14
FULL: Final = 1 << 16
"""Bytes on their way to a client from which on it is not listened to."""
MOST_UNSENT: Final = 1 << 20
"""Bytes on their way to a client from which on it is given up: it does not read."""
ALLOWANCE: Final = 50
"""Requests of one client in one PERIOD_NS (monitor.py)."""
BROKEN: Final = select.EPOLLHUP | select.EPOLLERR


class Speaker(Protocol):
    """A language, spoken with one client."""

    waiting: bool

    def feed(self, data: bytes) -> None:
        """Something has come."""

    def step(self) -> bool:
        """Do the next request; whether there was a whole one.  Overlong if it will not end."""

    def finish(self) -> None:
        """Nothing more comes."""

    def complain(self, text: str) -> None:
        """Say why the client is shown the door."""

    def event(self, name: str, data: Mapping[str, object], time_ns: int) -> None:
        """Something has happened to the machine."""


class Connection:
    """A connected client.  It is `over` when its socket can be closed."""

    def __init__(
        self, peer: socket.socket, speak: Callable[[Callable[[bytes], None]], Speaker], stir: Callable[[], None]
    ) -> None:
        """`speak` makes the speaker, given where its bytes go; `stir` is called when there are some."""
        self._peer = peer
        self._stir = stir
        self._unsent = bytearray()
        self._allowance = ALLOWANCE
        self._idle = True
        """All that has come has been dealt with."""
        self._at_end = False
        """The client says nothing more."""
        self._leaving = False
        """We want nothing more of it."""
        self.over = False
        self.speaker = speak(self._say)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._peer.fileno()

    def interest(self) -> int:
        """What epoll should watch for: nothing is read that would only be kept."""
        reads = self._idle and self._allowance > 0 and len(self._unsent) < FULL and not self._at_end
        return (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if self._unsent else 0)

    def ready(self, events: int) -> None:
        """epoll has seen something; after a BROKEN it need not look again."""
        if events & BROKEN:
            # Nobody reads any more.  What was asked before the client hung up is still done.
            for _ in range(FULL // READ_BYTES):
                self._read()
            self._unsent.clear()
            self._at_end, self._idle = True, False
        elif events & select.EPOLLIN:
            self._read()
        if events & select.EPOLLOUT:
            self.flush()

    def refill(self) -> None:
        """A new period has begun."""
        self._allowance = ALLOWANCE

    @property
    def busy(self) -> bool:
        """Whether step() may have something to do now."""
        can = self._allowance > 0 and len(self._unsent) < FULL and not self._leaving and not self.over
        return can and not self._idle and not self.speaker.waiting

    def step(self) -> None:
        """Do one request, if there is one."""
        try:
            done = self.speaker.step()
        except Overlong as error:
            self.speaker.complain(f"{error}: good-bye")
            self.flush()
            self.over = True
            return
        self._allowance -= done
        if done or self.speaker.waiting:
            return
        self._idle = True
        if self._at_end:
            self.speaker.finish()
            self._leaving = True

    def flush(self) -> None:
        """Send what can be sent, and notice whether that was all there will be."""
        try:
            while self._unsent:
                del self._unsent[: self._peer.send(self._unsent, socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            return
        except OSError:
            # Gone while we spoke; what it asked before that is read and done.
            self._unsent.clear()
        self.over = self.over or self._leaving

    def close(self) -> None:
        """Hang up."""
        self.over = True
        self._peer.close()

    def _read(self) -> None:
        if self._at_end:
            return
        try:
            data = self._peer.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._idle = False
        self._at_end = not data
        self.speaker.feed(data)

    def _say(self, data: bytes) -> None:
        if self.over:
            return
        self._stir()
        self._unsent += data
        if len(self._unsent) > MOST_UNSENT:
            log.warning("a client of the monitor does not read what it is told: given up")
            self._unsent.clear()
            self.over = True
