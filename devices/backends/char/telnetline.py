"""A telnet connection, as server or client: a stream socket (stream.py) that speaks the protocol of telnet.py."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from devices.backends.char.stream import StreamBackend
from devices.backends.char.telnet import TelnetCodec
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.backends.char.address import StreamAddress

PIECE_BYTES: Final = 4096
"""Output is encoded and input is read in such pieces; what of the last one does not go out waits here."""
UNSENT_BYTES: Final = 1 << 14
"""A peer that asks and does not read the answers is not listened to beyond this many bytes of them."""
DRAIN_S: Final = 2.0
"""How long a peer that reads slowly is given, when we leave, for what has been taken on its behalf."""


class TelnetBackend(StreamBackend):
    """The codec of the peer that is there, and what it has not taken yet."""

    KEEPS_PEER = False

    def __init__(self, address: StreamAddress, name: str) -> None:
        super().__init__(address, name)
        self._codec = TelnetCodec(server=address.server)
        self._unsent = bytearray()

    def close(self) -> None:
        """Send the rest and close."""
        if self._peer is not None and self._unsent:
            with contextlib.suppress(OSError):
                self._peer.settimeout(DRAIN_S)
                self._peer.sendall(self._unsent)
                self._peer.setblocking(False)
            self._unsent.clear()
        super().close()

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The peer as far as there is room for what it says and for our answers; without a peer the listener."""
        if self._peer is None:
            return super().descriptors(room)
        reads = room > 0 and len(self._unsent) < UNSENT_BYTES
        writes = self._blocked or bool(self._unsent)
        return [(self._peer.fileno(), reads, writes)] if reads or writes else ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Accept, read, or go on writing."""
        if self._peer is None:
            self._accept()
            return
        if writable:
            self._flush(self._peer)
            if self._blocked and not self._unsent:
                self._blocked = False
                self._submit(HostEvent.WRITABLE, b"", 0)
        if readable and room > 0:
            self._read(self._peer, min(room, PIECE_BYTES))

    def write(self, data: bytes) -> BackendResult:
        """Encode and send as much as goes; a peer that stops listening is an error once, then as good as gone."""
        if self._peer is None or not self._peer_listens:
            return BackendResult(len(data))
        done = 0
        error = self._flush(self._peer)
        while done < len(data) and not self._unsent and not error:
            piece = data[done : done + PIECE_BYTES]
            self._unsent += self._codec.encode(piece)
            error = self._flush(self._peer)
            done += 0 if error else len(piece)
        self._blocked = done < len(data) and not error
        return BackendResult(done, error)

    def _adopt(self, peer: socket.socket) -> None:
        """Ask the new peer for what we want of it."""
        # The data mark of a Synch travels as urgent data and must stay in its place (RFC 854, Synch).
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._codec = TelnetCodec(server=self.address.server)
        self._unsent.clear()
        super()._adopt(peer)
        self._answer(peer)

    def _hear(self, data: bytes) -> None:
        """Bytes from the peer: text, breaks and what must be answered."""
        for event, text in self._codec.decode(data):
            self._submit(event, text, 0)
        if self._peer is not None:
            self._answer(self._peer)

    def _answer(self, peer: socket.socket) -> None:
        self._unsent += self._codec.replies
        self._codec.replies.clear()
        self._flush(peer)

    def _flush(self, peer: socket.socket) -> int:
        """Send what goes; the errno of a peer that has gone, whose end still shows when it is read."""
        if not self._peer_listens:
            self._unsent.clear()
        try:
            while self._unsent:
                del self._unsent[: peer.send(self._unsent, socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._peer_listens = False
            self._unsent.clear()
            return error.errno or 0
        return 0
