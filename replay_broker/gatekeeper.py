"""Who may connect from another host: ZeroMQ's authentication protocol (ZAP, rfc.zeromq.org/spec/27), without a thread.

Lives here: keys to names.  Never here: what a name may say once it is connected (door.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zmq
from zmq.utils import z85

from machine.keys import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENDPOINT: Final = "inproc://zeromq.zap.01"
VERSION: Final = b"1.0"
PARTS: Final = 7
"""Version, request id, domain, address, identity, mechanism, and CURVE's one credential: the client's public key."""


class Gatekeeper:
    """Answers ZeroMQ's question for each new connection; `socket` is for the broker's poller."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], names: Mapping[bytes, str], refuse: Callable[[str], None]
    ) -> None:
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ENDPOINT)
        self._names = names
        self._refuse = refuse

    def serve(self) -> None:
        """Answer everything that has been asked."""
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            user = self._judge(parts)
            status = (b"200", b"welcome", user.encode()) if user else (b"400", b"no such key", b"")
            self.socket.send_multipart([VERSION, parts[1] if len(parts) > 1 else b"", *status, b""])

    def _judge(self, parts: list[bytes]) -> str:
        """The name a key belongs to; "" if it may not come in here."""
        if len(parts) != PARTS or parts[0] != VERSION or parts[5] != b"CURVE":
            self._refuse("a connection without a key")
            return ""
        name = self._names.get(z85.encode(parts[6]))
        domain, address = parts[2].decode(), parts[3].decode(errors="replace")
        if name is None:
            self._refuse(f"a connection from {address} with a key that nobody here knows")
            return ""
        if (name == OPERATOR) != (domain == OPERATOR):
            self._refuse(f"a connection from {address}: {name}'s key is for another socket")
            return ""
        return name
