"""The broker's two sockets, one for the machine's nodes and one for control clients: bytes in, bytes out.

Lives here: ZeroMQ, waiting, bounds on what a peer may pile up, whose key a message came with.
Never here: what the bytes mean.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import zmq

from machine.errors import BackendError
from machine.keys import BROKER, OPERATOR
from machine.leaving import hang_up
from replay_broker.gatekeeper import Gatekeeper
from replay_broker.handshakes import Handshakes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.keys import KeyRing

LINGER_MS: Final = 1000
LARGEST_PART_BYTES: Final = (1 << 24) + 4096
"""ZeroMQ hangs up on who sends more in one part; no payload is larger (machine/codec.py)."""
MOST_ANSWERS: Final = 1000
"""Answers that wait for one control client; one that does not read loses the others."""
AT_ONCE: Final = 256
"""Messages taken from a socket before the other things of the loop have their turn."""
MOST_USERS: Final = 4096
"""Connections whose keys are remembered; whoever connected longest ago is forgotten."""
HEARTBEAT_MS: Final = 5_000
SILENCE_MS: Final = 60_000
USER: Final = "User-Id"
"""The property of a message that tells whose key it came with (rfc.zeromq.org/spec/27)."""

Taken = tuple[bytes, Sequence[bytes]]
"""A ZeroMQ message: its sender's identity and its parts."""


def make_room() -> None:
    """Let this process have as many descriptors as the host allows.

    A connection is one until ZeroMQ gives up on who says nothing, after half a minute: strangers soon have the usual
    thousand, and then there is none for a node that comes again, or for a file.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Sockets:
    """Both ROUTER sockets, used by one thread; with keys at tcp endpoints, too.  BackendError if they cannot be."""

    def __init__(
        self, bus: str, control: str, remote: tuple[str, str] | None = None, keys: KeyRing | None = None
    ) -> None:
        self._context = zmq.Context(io_threads=1)
        self._poller = zmq.Poller()
        self.refuse: Callable[[str], None] = lambda _: None
        """Told what was refused before it was a message."""
        self.severed: Callable[[bytes], None] = lambda _: None
        """Told the identity of a connection with a key that is over."""
        self._users: dict[bytes, str] = {}
        self._descriptors: dict[int, bytes] = {}
        """The identity whose connection has, or had, a descriptor."""
        self._ready: dict[object, int] = {}
        self._gatekeeper: Gatekeeper | None = None
        self._remote = remote is not None
        if keys is not None:
            self._gatekeeper = Gatekeeper(self._context, keys.names(), self._refuse_early)
            self._poller.register(self._gatekeeper.socket, zmq.POLLIN)
        self._handshakes: list[Handshakes] = []
        self._bus = self._bind(bus, "nodes'", waiting=0)
        self._control = self._bind(control, "control", waiting=MOST_ANSWERS)
        if remote is not None:
            assert keys is not None, "nobody from another host comes in without a key"
            own = keys.pair(BROKER)
            for socket, endpoint, domain in ((self._bus, remote[0], "node"), (self._control, remote[1], OPERATOR)):
                self._bind_remote(socket, endpoint, domain, own.public, own.secret)

    def watch(self, descriptor: int) -> None:
        """Let a readable descriptor end wait(), too."""
        self._poller.register(descriptor, zmq.POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Wait until something has come; what that is, is_ready(), bus() and control() tell."""
        self._ready = dict(self._poller.poll(timeout_ms))
        if self._gatekeeper is not None and self._gatekeeper.socket in self._ready:
            self._gatekeeper.serve()
        for handshakes in self._handshakes:
            if handshakes.fd in self._ready:
                handshakes.serve()

    @property
    def only_bus(self) -> bool:
        """Whether nobody but the machine's nodes has said something."""
        return len(self._ready) == 1 and self._bus in self._ready

    def is_ready(self, descriptor: int) -> bool:
        """Whether a descriptor of watch() was readable."""
        return descriptor in self._ready

    def bus(self) -> Iterator[Taken]:
        """What has come from the machine's nodes: ZeroMQ identity and parts."""
        return self._take_known(self._bus) if self._remote else self._take(self._bus)

    def next(self) -> Taken | None:
        """The first that has come from a node.  wait() tells of more sooner than a socket that is empty says so."""
        return next(self.bus(), None)

    def control(self) -> Iterator[Taken]:
        """What has come from control clients."""
        return self._take(self._control)

    def user_of_new(self, identity: bytes) -> str:
        """Whose key a new connection has; "" for one of this host, which needs none.

        Of those that were over before it began `severed` has been told.
        """
        for handshakes in self._handshakes:
            handshakes.serve()
        return self._users.get(identity, "")

    def tell_node(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Send to a node; what nobody can take is dropped."""
        self._bus.send_multipart([identity, *parts])

    def tell_client(self, identity: bytes, parts: Sequence[bytes]) -> None:
        """Send to a control client; one that has gone hears nothing."""
        self._control.send_multipart([identity, *parts])

    def close(self) -> None:
        """Send the rest, then nobody listens any more."""
        for handshakes in self._handshakes:
            handshakes.close()
        self._bus.close()
        self._control.close()
        if self._gatekeeper is not None:
            self._gatekeeper.socket.close(0)
        hang_up(self._context, LINGER_MS / 1000)

    def _refuse_early(self, reason: str) -> None:
        self.refuse(reason)

    def _is_over(self, descriptor: int) -> None:
        identity = self._descriptors.pop(descriptor, None)
        if identity is not None:
            self.severed(identity)

    def _bind(self, endpoint: str, name: str, *, waiting: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, LINGER_MS)
        socket.setsockopt(zmq.SNDHWM, waiting)
        socket.setsockopt(zmq.RCVHWM, MOST_ANSWERS)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_PART_BYTES)
        handshakes = Handshakes(self._context, socket, name, self._refuse_early, self._is_over)
        self._handshakes.append(handshakes)
        self._poller.register(handshakes.fd, zmq.POLLIN)
        socket.bind(endpoint)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _bind_remote(self, socket: zmq.Socket[bytes], endpoint: str, domain: str, public: bytes, secret: bytes) -> None:
        """A second place, for those with a key; a socket's options hold for the binds behind them."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode())
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise BackendError(f"cannot listen at {endpoint}: {error.strerror}") from error

    def _take(self, socket: zmq.Socket[bytes]) -> Iterator[Taken]:
        if socket not in self._ready:
            return
        for _ in range(AT_ONCE):
            try:
                identity, *parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield identity, parts

    def _take_known(self, socket: zmq.Socket[bytes]) -> Iterator[Taken]:
        """The same where some have keys: a connection stays with the key that its first message came with."""
        if socket not in self._ready:
            return
        for _ in range(AT_ONCE):
            try:
                first = socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            identity, user = first.bytes, _user_of(first)
            if user and identity not in self._users:
                self._descriptors[int(first.get(zmq.SRCFD))] = identity
            parts = socket.recv_multipart() if first.more else []
            if self._users.setdefault(identity, user) != user:
                self.refuse(f"a message with {user or 'nobody'}'s key from a connection of another")
                continue
            if len(self._users) > MOST_USERS:
                del self._users[next(iter(self._users))]
            yield identity, parts


def _user_of(frame: zmq.Frame) -> str:
    try:
        return str(frame.get(USER))
    except zmq.ZMQError:
        return ""
