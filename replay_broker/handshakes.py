"""Connections that have come to nothing: who speaks another language than ZeroMQ's, or has no key where one is needed;
and those that are over.

ZeroMQ hangs up on them by itself and tells its monitor (zmq_socket_monitor(3)); a wrong key is the gatekeeper's.

Lives here: noticing them.  Never here: whose they were.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED: Final = zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
EVENT: Final = struct.Struct("=HI")
"""An event's first part: what, and of which descriptor where it is an end; the second part is where it was."""
REMOTE: Final = b"tcp:"


class Handshakes:
    """One socket's connections that failed; `fd` is for the broker's poller: readable when there may be some."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        watched: zmq.Socket[bytes],
        name: str,
        refuse: Callable[[str], None],
        over: Callable[[int], None],
    ) -> None:
        """`refuse` hears of a connection that failed, `over` the descriptor that one had."""
        place = f"inproc://handshakes-{id(watched)}"
        watched.monitor(place, FAILED | zmq.Event.DISCONNECTED)
        self._socket = context.socket(zmq.PAIR)
        # What does not fit would keep ZeroMQ's own thread waiting for us.
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(place)
        # Not the socket: it would be asked for its events at every message of the machine.
        self.fd = int(self._socket.getsockopt(zmq.FD))
        self._watched = watched
        self._name = name
        self._refuse = refuse
        self._over = over
        # Whoever has never found it empty is not woken (zmq_getsockopt(3), ZMQ_FD).
        self.serve()

    def serve(self) -> None:
        """Count all that there are."""
        while True:
            try:
                event, place = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            kind, descriptor = EVENT.unpack(event)
            if kind == zmq.Event.DISCONNECTED:
                self._over(descriptor)
                continue
            # Who hangs up before it has said who it is: here perhaps a `ps` that is done; from elsewhere, somebody
            # without a key, who has noticed first.
            if kind == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL and not place.startswith(REMOTE):
                continue
            self._refuse(f"a connection to the {self._name} socket with another protocol, or without a key")

    def close(self) -> None:
        """Watch no more."""
        self._watched.disable_monitor()
        self._socket.close(0)
