"""The broker's two sockets, one for the machine's nodes and one for control clients: bytes in, bytes out.

Lives here: ZeroMQ, waiting, bounds on what a peer may pile up.
Never here: what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import zmq

if TYPE_CHECKING:
    from collections.abc import Iterator

LINGER_MS: Final = 1000
LARGEST_PART_BYTES: Final = (1 << 24) + 4096
"""ZeroMQ hangs up on who sends more in one part; no payload is larger (machine/codec.py)."""
MOST_ANSWERS: Final = 1000
"""Answers that wait for one control client; one that does not read loses the others."""
AT_ONCE: Final = 256
"""Messages taken from a socket before the other things of the loop have their turn."""

Taken = tuple[bytes, Sequence[bytes]]
"""A ZeroMQ message: its sender's identity and its parts."""


class Sockets:
    """Both ROUTER sockets, used by one thread."""

    def __init__(self, bus: str, control: str) -> None:
        self._context = zmq.Context(io_threads=1)
        self._poller = zmq.Poller()
        self._bus = self._bind(bus, waiting=0)
        self._control = self._bind(control, waiting=MOST_ANSWERS)
        self._ready: dict[object, int] = {}

    def watch(self, descriptor: int) -> None:
        """Let a readable descriptor end wait(), too."""
        self._poller.register(descriptor, zmq.POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Wait until something has come; what that is, is_ready(), bus() and control() tell."""
        self._ready = dict(self._poller.poll(timeout_ms))

    def is_ready(self, descriptor: int) -> bool:
        """Whether a descriptor of watch() was readable."""
        return descriptor in self._ready

    def bus(self) -> Iterator[Taken]:
        """What has come from the machine's nodes: ZeroMQ identity and parts."""
        return self._take(self._bus)

    def control(self) -> Iterator[Taken]:
        """What has come from control clients."""
        return self._take(self._control)

    def tell_node(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Send to a node; what nobody can take is dropped."""
        self._bus.send_multipart([identity, *parts])

    def tell_client(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Send to a control client; one that has gone hears nothing."""
        self._control.send_multipart([identity, *parts])

    def close(self) -> None:
        """Send the rest, then nobody listens any more."""
        self._bus.close()
        self._control.close()
        self._context.term()

    def _bind(self, endpoint: str, *, waiting: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, LINGER_MS)
        socket.setsockopt(zmq.SNDHWM, waiting)
        socket.setsockopt(zmq.RCVHWM, MOST_ANSWERS)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_PART_BYTES)
        socket.bind(endpoint)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _take(self, socket: zmq.Socket[bytes]) -> Iterator[Taken]:
        if socket not in self._ready:
            return
        for _ in range(AT_ONCE):
            try:
                identity, *parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield identity, parts
