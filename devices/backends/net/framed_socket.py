"""One connected stream socket with frames on it: read at a go, written through a bounded box, never waited for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from devices.backends.net.framing import BrokenFramingError, FrameReader, frame_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_BYTES: Final = 1 << 16
OUTBOX_BYTES: Final = 1 << 17
"""What a slow peer makes us keep; then it is the card's turn to wait."""


class PeerGoneError(Exception):
    """The other side has hung up or does not speak the protocol; the text says which."""


class FramedSocket:
    """Owns the socket."""

    def __init__(self, peer: socket.socket) -> None:
        peer.setblocking(False)
        self._socket = peer
        self._reader = FrameReader()
        self._outbox = b""
        self._listens = True
        """Cleared when the peer refuses what is sent; what it has said before is still read."""

    @property
    def descriptor(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    @property
    def sending(self) -> bool:
        """Whether frames are left that the peer has not taken."""
        return bool(self._outbox)

    def receive(self) -> list[bytes]:
        """The frames that one read completes; PeerGoneError when there will be no more."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise PeerGoneError(error.strerror or str(error)) from error
        if not data:
            raise PeerGoneError("it has hung up")
        try:
            return self._reader.feed(data)
        except BrokenFramingError as error:
            raise PeerGoneError(f"it has announced {error}") from error

    def send(self, frames: Sequence[bytes]) -> int:
        """Take as many frames as the box has room for, one at least when it is empty; how many."""
        taken = 0
        room = OUTBOX_BYTES - len(self._outbox)
        for frame in frames:
            if room < len(frame):
                break
            room -= len(frame)
            taken += 1
        self._outbox += frame_bytes(frames[:taken])
        self.flush()
        return taken

    def flush(self) -> None:
        """Send what the peer takes now."""
        while self._outbox and self._listens:
            try:
                self._outbox = self._outbox[self._socket.send(self._outbox, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                return
            except OSError:
                self._listens = False
        if not self._listens:
            self._outbox = b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
