"""`stream`: frames over one connection, TCP or unix, as server or client, in QEMU's framing.

Peers may come and go; the card's link is up while one is there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Final

from devices.backends.net.address import Address, address_keys, parse_address, remove_stale
from devices.backends.net.base import NetBackend
from devices.backends.net.cable import CableWord
from devices.backends.net.peer import CallingWire, PeerWire
from devices.backends.words import number, parse_options, switch
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devices.model import Backend

log = logging.getLogger("dejavm")
LISTENER: Final = "listener"
"""What is left to a successor."""
CONNECT_TIMEOUT_S: Final = 10.0
LONGEST_DELAY_MS: Final = 3_600_000
DELAYS: Final[Mapping[str, int]] = {"reconnect": 1000, "reconnect-ms": 1}
"""Option -> milliseconds in its unit."""


class StreamServer(PeerWire):
    """Listens; who calls while a peer is there waits until that one has gone."""

    def __init__(self, address: Address, name: str) -> None:
        super().__init__(name, f"the peer at {address}")
        self.address = address
        """Where it is; a chosen port is filled in once open."""
        self._listener: socket.socket | None = None

    def plug(self) -> None:
        """Listen, and say where."""
        try:
            self._listener = self._listen()
        except OSError as error:
            raise BackendError(f"{self._name}: {self.address}: {error.strerror or error}") from error
        if not self.address.path:
            self.address = Address(self.address.host, self._listener.getsockname()[1])
            self.peer_name = f"the peer at {self.address}"
        if self._estate is not None:
            self._estate.leave(LISTENER, self._listener.fileno())
        log.warning("%s: listening on %s", self._name, self.address)

    def reconnect(self, *, owes: bool) -> bool:
        """The predecessor's peer and its listener."""
        super().reconnect(owes=owes)
        kept = self._estate.find(LISTENER) if self._estate is not None else ()
        if kept:
            self._listener = socket.socket(fileno=kept[0])
        else:
            self.plug()
        return True

    def close(self) -> None:
        """Hang up, stop listening; the socket file goes."""
        super().close()
        if self._estate is not None:
            self._estate.take_out(LISTENER)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            if self.address.path:
                with contextlib.suppress(OSError):
                    os.unlink(self.address.path)

    def lonely(self) -> Sequence[tuple[int, bool, bool]]:
        """The listening socket."""
        return [(self._listener.fileno(), True, False)] if self._listener is not None else ()

    def serve_lonely(self) -> None:
        """Take the caller, who may have gone between the poll and now."""
        assert self._listener is not None
        with contextlib.suppress(OSError):
            self.adopt(self._listener.accept()[0])

    def _listen(self) -> socket.socket:
        if self.address.path:
            remove_stale(self.address.path)
        listener, place = self.address.socket(socket.SOCK_STREAM)
        try:
            if not self.address.path:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(1)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        return listener


def call(address: Address) -> socket.socket:
    """A connection; OSError.  May wait CONNECT_TIMEOUT_S."""
    peer, place = address.socket(socket.SOCK_STREAM)
    try:
        peer.settimeout(CONNECT_TIMEOUT_S)
        peer.connect(place)
    except OSError:
        peer.close()
        raise
    return peer


def create_stream(argument: str, name: str) -> Backend:
    """`stream,addr.type=inet|unix,...[,server=on|off][,reconnect=SECONDS|,reconnect-ms=MILLISECONDS]`."""
    word = CableWord.of("stream", argument, name)
    where = f"{name}: backend {word.wire}"
    options = parse_options(word.options, (*address_keys("addr"), "server", *DELAYS), where)
    address = parse_address(options, "addr", where)
    if address is None:
        raise BackendError(
            f"{where}: where? write addr.type=inet,addr.host=H,addr.port=P or addr.type=unix,addr.path=P"
        )
    server = switch(options.get("server", "off"), f"{where}: server")
    given = [key for key in DELAYS if key in options]
    if server and given:
        raise BackendError(f"{where}: {given[0]} is for clients")
    if len(given) > 1:
        raise BackendError(f"{where}: {given[0]} and {given[1]} contradict each other")
    delay_ms = 0
    for key in given:
        delay_ms = number(options[key], 0, LONGEST_DELAY_MS // DELAYS[key], f"{where}: {key}") * DELAYS[key]
    if server:
        return NetBackend(name, word, StreamServer(address, name))
    delays_s = (delay_ms / 1000,) if delay_ms else ()
    return NetBackend(name, word, CallingWire(name, f"the peer at {address}", lambda: call(address), delays_s))
