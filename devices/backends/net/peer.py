"""Wires with one peer at a time behind a stream socket, and those that call their peer again when it has gone."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Final

from devices.backends.net.framed_socket import FramedSocket, PeerGoneError
from devices.backends.net.wire import Wire
from devices.backends.retry import Retry
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("dejavm")

PEER: Final = "peer"
"""What is left to a successor."""
COMPLAINTS: Final = 8
"""Peers whose end is said; one that comes and goes all the time must not fill the screen."""


class PeerWire(Wire):
    """One peer, or none; the link is up while there is one."""

    def __init__(self, name: str, peer_name: str) -> None:
        super().__init__()
        self._name = name
        self.peer_name = peer_name
        """What a diagnostic calls the other side."""
        self._peer: FramedSocket | None = None
        self._blocked = False
        self._complaints = 0

    def close(self) -> None:
        """Hang up."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
        if self._estate is not None:
            self._estate.take_out(PEER)

    def reconnect(self, *, owes: bool) -> bool:
        """The predecessor's peer; without one the link goes down, as with any cable that is pulled out."""
        kept = self._estate.find(PEER) if self._estate is not None else ()
        if not kept:
            self._tell_link(False)
            return False
        self._peer = FramedSocket(socket.socket(fileno=kept[0]))
        self._blocked = owes
        self._tell_link(True)
        if owes and not self._peer.sending:
            self._blocked = False
            self._tell_writable()
        return True

    def taken(self, frames: Sequence[bytes]) -> None:
        """Out of the socket."""
        if self._peer is not None:
            self._peer.taken(frames)

    def descriptors(self, *, reads: bool) -> Sequence[tuple[int, bool, bool]]:
        """The peer's, unless there is nothing to do: a socket that has been hung up on is always ready."""
        if self._peer is None:
            return self.lonely()
        return self._peer.descriptors(reads=reads)

    def ready(self, descriptor: int, *, readable: bool, writable: bool) -> list[bytes]:
        """Go on sending; take what one read gives."""
        if self._peer is None:
            self.serve_lonely()
            return []
        if writable:
            self._peer.flush()
            if self._blocked and not self._peer.sending:
                self._blocked = False
                self._tell_writable()
        if not readable:
            return []
        try:
            return self._peer.receive()
        except PeerGoneError as error:
            self._lose(self._peer, str(error))
            return []

    def send(self, frames: Sequence[bytes]) -> int:
        """Nobody is there, or the peer takes what its box has room for."""
        if self._peer is None:
            return len(frames)
        taken = self._peer.send(frames)
        self._blocked = taken < len(frames)
        return taken

    def lonely(self) -> Sequence[tuple[int, bool, bool]]:
        """What is waited for while there is no peer."""
        return ()

    def serve_lonely(self) -> None:
        """It has become ready."""

    def left_alone(self) -> None:
        """The peer has gone."""

    def adopt(self, peer: socket.socket) -> None:
        """A peer has come."""
        if peer.family != socket.AF_UNIX:
            # What is small, an acknowledgement say, must not wait for what comes behind it.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = FramedSocket(peer)
        self._tell_link(True)
        if self._estate is not None and peer.family == socket.AF_UNIX:
            # Of another kind it is not known how far a frame has gone out.
            self._estate.leave(PEER, peer.fileno())

    def _lose(self, peer: FramedSocket, why: str) -> None:
        peer.close()
        self._peer = None
        self._blocked = False
        if self._estate is not None:
            self._estate.take_out(PEER)
        self._complaints += 1
        if self._complaints <= COMPLAINTS:
            more = "; the next ones are not said" if self._complaints == COMPLAINTS else ""
            log.warning("%s: %s is gone: %s%s", self._name, self.peer_name, why, more)
        self._tell_link(False)
        self.left_alone()


class CallingWire(PeerWire):
    """Calls its peer, and calls again after the next of `delays_s` when it has gone; never again if there are none.

    `call` may wait; its OSError means that nobody is there now, its BackendError that this cannot be.
    """

    def __init__(self, name: str, peer_name: str, call: Callable[[], socket.socket], delays_s: Sequence[float]) -> None:
        super().__init__(name, peer_name)
        self._call = call
        self._retry = Retry(call, socket.socket.close, delays_s) if delays_s else None

    def plug(self) -> None:
        """Call; without another try somebody must be there."""
        try:
            peer = self._call()
        except OSError as error:
            if self._retry is None:
                raise BackendError(f"{self._name}: {self.peer_name}: {error.strerror or error}") from error
            self._retry.begin()
            return
        except BackendError as error:
            raise BackendError(f"{self._name}: {error}") from error
        self.adopt(peer)

    def reconnect(self, *, owes: bool) -> bool:
        """The predecessor's peer, or another call."""
        if not super().reconnect(owes=owes) and self._retry is not None:
            self._retry.begin()
        return True

    def close(self) -> None:
        """Hang up, call no more."""
        super().close()
        if self._retry is not None:
            self._retry.close()

    def ready(self, descriptor: int, *, readable: bool, writable: bool) -> list[bytes]:
        """A peer that speaks is a good one: if it goes, the first delay is the next."""
        frames = super().ready(descriptor, readable=readable, writable=writable)
        if frames and self._retry is not None:
            self._retry.succeeded()
        return frames

    def lonely(self) -> Sequence[tuple[int, bool, bool]]:
        """The end of a call."""
        return [(self._retry.descriptor, True, False)] if self._retry is not None and self._retry.running else ()

    def serve_lonely(self) -> None:
        """Somebody has answered, or nobody has and the next call is made."""
        if self._retry is not None and (peer := self._retry.take()) is not None:
            self.adopt(peer)

    def left_alone(self) -> None:
        """Call again."""
        if self._retry is not None:
            self._retry.begin()
