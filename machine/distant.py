"""A port to a broker on another host: encrypted, with a key of its own, and aware of its connection.

ZeroMQ connects anew by itself when a connection breaks, and what was under way is lost then.  A node that noticed
nothing would go on with a gap; this one ends instead.

A node's process ends there and then, as one that is killed does: what it has open stays with the descriptor store, its
journal where it is, for the process that is started in its place (docs/faults.md, The broker).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import zmq
from zmq.utils.monitor import parse_monitor_message

from machine.attended import AttendedPort
from machine.errors import ConnectionLost, Unheard
from machine.keys import ClientKeys

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT_MS = 5_000
SILENCE_MS = 60_000
"""A shorter silence of the network is waited out."""
LOST = "the connection to the broker was lost, and what was under way with it"
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


class DistantPort(AttendedPort):
    """AttendedPort over tcp with CURVE."""

    def __init__(self, endpoint: str, keys: ClientKeys) -> None:
        self._keys = keys
        self._joined = False
        self._trouble = ""
        self.severed: Callable[[], NoReturn] = self._complain
        """What is done where the connection has been lost."""
        super().__init__(endpoint)
        self.attend(int(self._watch.getsockopt(zmq.FD)), self._look)
        # The descriptor speaks of what comes behind the last look, so there must have been one.
        self._look()

    def pending(self) -> bool:
        """Whether receive() would return at once; a node that only looks hears of its connection, too."""
        found = super().pending()
        if not found:
            self._check()
        return found

    def close(self, linger_ms: int | None = None) -> None:
        """Send the rest and close."""
        self._socket.disable_monitor()
        self._watch.close(0)
        super().close(linger_ms)

    def _prepare(self, socket: zmq.Socket[bytes]) -> None:
        secure(socket, self._keys)
        self._watch = socket.get_monitor_socket(_EVENTS)

    def _look(self) -> None:
        """What has become of the connection."""
        while True:
            try:
                parts = self._watch.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            event = parse_monitor_message(parts)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._joined = True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._trouble = "the broker does not know this node's key"
            elif self._joined:
                self._trouble = LOST

    def _check(self) -> None:
        if self._trouble == LOST:
            self.severed()
        if self._trouble:
            raise Unheard(self._trouble)

    def _complain(self) -> NoReturn:
        raise ConnectionLost(self._trouble)


def secure(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Have a socket that will connect speak CURVE, and notice a peer that has gone for good."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.broker)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
