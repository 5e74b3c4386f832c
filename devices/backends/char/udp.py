"""Datagrams to one peer and from it, as QEMU's `udp`: nothing is promised, and nobody's coming or going is seen."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from devices.backends.char.address import DatagramAddress, parse_udp
from devices.backends.char.base import HoldingBackend
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Submit

DATAGRAM_BYTES: Final = 1 << 16
PIECE_BYTES: Final = 1452
"""What fits into one Ethernet frame over IPv6, and so over IPv4."""
TRIES: Final = 2


class UdpBackend(HoldingBackend):
    """One connected socket.  A datagram that is bigger than the device's room comes in pieces."""

    def __init__(self, address: DatagramAddress, name: str) -> None:
        super().__init__(name)
        self.address = address
        """Where the peer is."""
        self._socket: socket.socket | None = None
        self._peer: Any = None
        self._blocked = False

    def open(self, submit: Submit) -> None:
        """Take our address and remember the peer's; BackendError names what cannot be had."""
        super().open(submit)
        try:
            self._socket = self._connect()
        except OSError as error:
            text = error.strerror or str(error)
            raise BackendError(f"{self._name}: {self.address}: {text}") from error

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """Nothing was promised of what comes meanwhile."""
        self.open(submit)
        self._blocked = owes
        return True

    def close(self) -> None:
        """Give the address back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def port(self) -> int:
        """Our own port, while open."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The socket, while nothing is held and there is room."""
        if self._socket is None:
            return ()
        reads = room > 0
        return [(self._socket.fileno(), reads, self._blocked)] if reads or self._blocked else ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Take a datagram, or go on sending."""
        if writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)
        if readable and room > 0:
            if not self._held:
                self._receive()
            self.advance(room)

    def write(self, data: bytes) -> BackendResult:
        """Send in datagrams; that nobody is there to receive them is no error, as nobody promised."""
        if self._socket is None:
            return BackendResult(len(data))
        done = 0
        try:
            while done < len(data):
                done += self._send(self._socket, data[done : done + PIECE_BYTES])
        except BlockingIOError:
            self._blocked = True
        except OSError as error:
            return BackendResult(done, error.errno or 0)
        return BackendResult(done)

    def _connect(self) -> socket.socket:
        address = self.address
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, peer = found[0]
        connection = socket.socket(family, kind, protocol)
        try:
            if address.local_host or address.local_port:
                host, flags = address.local_host or None, socket.AI_PASSIVE
                found = socket.getaddrinfo(host, address.local_port, family, kind, flags=flags)
                connection.bind(found[0][4])
            connection.connect(peer)
            self._peer = connection.getpeername()
        except OSError:
            connection.close()
            raise
        connection.setblocking(False)
        return connection

    def _send(self, connection: socket.socket, piece: bytes) -> int:
        """Send one datagram.  An error that an earlier one has met is told once, instead of sending this one."""
        for _ in range(TRIES):
            try:
                return connection.send(piece)
            except ConnectionRefusedError:
                continue
        return len(piece)

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data, sender = self._socket.recvfrom(DATAGRAM_BYTES)
        except OSError:
            # Nothing there after all, or what became of a datagram of ours.
            return
        # Before the peer was chosen others could send, too.
        if sender == self._peer:
            self._held += data


def create_udp(argument: str, name: str) -> Backend:
    """`udp:[HOST]:PORT[@[LOCALHOST]:LOCALPORT]`."""
    return UdpBackend(parse_udp(argument, name), name)
