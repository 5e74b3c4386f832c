"""A node's one door to the broker: frames out, frames in; the only user of ZeroMQ among the nodes.

A ZeroMQ message is a row of (header, payload) pairs, so that a device can say everything that one
access caused, and its answer, in one breath.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import zmq

from machine import codec
from machine.errors import RemoteWireError
from machine.frame import Frame
from machine.leaving import hang_up
from machine.message import Message

LINGER_MS: Final = 2000
"""How long a leaving process waits for its last words to be taken."""


RECONNECT_MS: Final = 5
RECONNECT_MAX_MS: Final = 200


class Port:
    """One DEALER socket, used by one thread."""

    def __init__(self, endpoint: str, number: int = 0) -> None:
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        # The broker may not be there yet; ZeroMQ's own 100 ms would be felt at every start.
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        self._prepare(self._socket)
        self._socket.connect(endpoint)
        self._received: deque[Frame] = deque()
        self._outgoing: list[bytes] = []
        self.number = number
        """The node's number, once Welcome has told it."""
        self.metrics = ""
        """Where this process's metrics are served."""
        self.introduced = False
        """Hello has been said here."""

    def queue(self, message: Message, target: int, icount: int) -> None:
        """Add a message to the next breath."""
        frame = Frame(codec.type_of(type(message)), self.number, target, icount, codec.encode(message))
        self._outgoing += (codec.encode_header(frame), frame.payload)

    def flush(self) -> None:
        """Send what has been queued; a broker that has shut its door for good gets nothing, and receive() says so."""
        if self._outgoing:
            # There is no high water mark: only a connection that has been ended takes nothing, and would for ever.
            with suppress(zmq.Again):
                self._socket.send_multipart(self._outgoing, zmq.NOBLOCK)
            self._outgoing = []

    def send(self, message: Message, target: int, icount: int) -> None:
        """Send a message, behind those that were queued."""
        self.queue(message, target, icount)
        self.flush()

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame; None when none came in time.  RemoteWireError if it is no frame."""
        if not self._received and not self._fetch(timeout_s):
            return None
        return self._received.popleft()

    def pending(self) -> bool:
        """Whether receive() would return at once."""
        return bool(self._received) or bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    @property
    def wake_fd(self) -> int:
        """A descriptor that becomes readable when something may have come; ask pending() then."""
        return int(self._socket.getsockopt(zmq.FD))

    def close(self, linger_ms: int = LINGER_MS) -> None:
        """Send the rest and close; what nobody has taken after `linger_ms` milliseconds is dropped."""
        self.flush()
        self._socket.close(linger=linger_ms)
        hang_up(self._context, linger_ms / 1000)

    def _prepare(self, socket: zmq.Socket[bytes]) -> None:
        """What else a socket needs before it connects."""

    def _fetch(self, timeout_s: float | None) -> bool:
        if timeout_s is None:
            self._received.extend(frames_of(self._socket.recv_multipart()))
            return True
        if timeout_s > 0:
            self._socket.poll(int(timeout_s * 1000))
        try:
            parts: Sequence[bytes] = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._received.extend(frames_of(parts))
        return True


def frames_of(parts: Sequence[bytes]) -> list[Frame]:
    """The frames in a ZeroMQ message; RemoteWireError if it is not a row of pairs."""
    if not parts or len(parts) % 2:
        raise RemoteWireError(f"message of {len(parts)} parts is not a row of header and payload")
    return [codec.decode_frame(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]
