"""One connected stream socket with frames on it: read at a go, written through a bounded box, never waited for."""

from __future__ import annotations

import select
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from devices.backends.net.framing import LENGTH, BrokenFramingError, FrameReader, frame_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_BYTES: Final = 1 << 16
PEEK_BYTES: Final = 1 << 17
"""The longest frame is in it."""
PIECE_BYTES: Final = 1 << 15
"""A unix socket takes a piece of less than half of its buffer whole or not at all (Linux, unix_stream_sendmsg); one
longer frame is less, too.
"""
OUTBOX_BYTES: Final = 1 << 17
"""What a slow peer makes us keep; then it is the card's turn to wait."""


class PeerGoneError(Exception):
    """The other side has hung up or does not speak the protocol; the text says which."""


class FramedSocket:
    """Owns the socket.

    One of the unix family is used so that another process can go on at any moment: what is received stays in the
    socket until taken() says that it is safe, and what is sent is sent in pieces that the kernel takes whole or not.
    """

    def __init__(self, peer: socket.socket) -> None:
        peer.setblocking(False)
        self._socket = peer
        self._reader = FrameReader()
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._listens = True
        """Cleared when the peer refuses what is sent; what it has said before is still read."""
        self._peeks = peer.family == socket.AF_UNIX
        self._untaken = 0
        """Bytes of frames that receive() has returned and that are in the socket still."""
        self._edges: select.epoll | None = None
        """There while a part of a frame is in the socket: more of it is waited for, and not what is there."""

    @property
    def descriptor(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def descriptors(self, *, reads: bool) -> list[tuple[int, bool, bool]]:
        """What is to be waited for."""
        if self._edges is None or not reads:
            return [(self.descriptor, reads, self.sending)] if reads or self.sending else []
        waits = [(self._edges.fileno(), True, False)]
        return [*waits, (self.descriptor, False, True)] if self.sending else waits

    @property
    def sending(self) -> bool:
        """Whether frames are left that the peer has not taken."""
        return bool(self._outbox)

    def receive(self) -> list[bytes]:
        """The frames that one read completes; PeerGoneError when there will be no more."""
        if self._untaken:
            return []
        self._watch_edges(on=False)
        try:
            data = self._socket.recv(PEEK_BYTES, socket.MSG_PEEK) if self._peeks else self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise PeerGoneError(error.strerror or str(error)) from error
        if not data and not self._reader.is_broken:
            raise PeerGoneError("it has hung up")
        try:
            frames = FrameReader().feed(data) if self._peeks else self._reader.feed(data)
        except BrokenFramingError as error:
            raise PeerGoneError(f"it has announced {error}") from error
        if self._reader.is_broken:
            # Ready at once, for the rest to be told.
            self._socket.shutdown(socket.SHUT_RD)
        if self._peeks:
            self._untaken = _bytes_of(frames)
            if not frames:
                if self._has_hung_up():
                    raise PeerGoneError("it has hung up in the middle of a frame")
                self._watch_edges(on=True)
                if len(self._socket.recv(PEEK_BYTES, socket.MSG_PEEK)) > len(data):
                    return self.receive()
        return frames

    def taken(self, frames: Sequence[bytes]) -> None:
        """Frames of receive(), the oldest first, are safe."""
        left = _bytes_of(frames) if self._peeks else 0
        self._untaken -= left
        while left and (data := self._socket.recv(min(left, PEEK_BYTES))):
            left -= len(data)

    def send(self, frames: Sequence[bytes]) -> int:
        """Take as many frames as the box has room for, one at least when it is empty; how many."""
        taken = 0
        room = OUTBOX_BYTES - self._outbox_bytes
        piece: list[bytes] = []
        size = 0
        for frame in frames:
            if room < len(frame):
                break
            if piece and size + len(frame) > PIECE_BYTES:
                self._put(piece)
                piece, size = [], 0
            piece.append(frame)
            size += LENGTH.size + len(frame)
            room -= len(frame)
            taken += 1
        self._put(piece)
        self.flush()
        return taken

    def flush(self) -> None:
        """Send what the peer takes now."""
        while self._outbox and self._listens:
            try:
                sent = self._socket.send(self._outbox[0], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self._listens = False
                break
            self._outbox_bytes -= sent
            rest = self._outbox.popleft()[sent:]
            if rest:
                self._outbox.appendleft(rest)
        if not self._listens:
            self._outbox.clear()
            self._outbox_bytes = 0

    def close(self) -> None:
        """Hang up, also where somebody keeps the socket for us."""
        self._watch_edges(on=False)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
            # What is left unread would make the kernel cut the peer off in the middle of what it reads.
            while self._socket.recv(PEEK_BYTES):
                pass
        self._socket.close()

    def _watch_edges(self, *, on: bool) -> None:
        if self._edges is not None:
            self._edges.close()
            self._edges = None
        if on:
            self._edges = select.epoll()
            self._edges.register(self._socket, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
            # What is there is an edge, too.
            self._edges.poll(0)

    def _has_hung_up(self) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLRDHUP)
        return bool(poller.poll(0))

    def _put(self, frames: Sequence[bytes]) -> None:
        if frames:
            self._outbox.append(frame_bytes(frames))
            self._outbox_bytes += len(self._outbox[-1])


def _bytes_of(frames: Sequence[bytes]) -> int:
    return sum(LENGTH.size + len(frame) for frame in frames)
