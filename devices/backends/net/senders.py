"""Sending datagrams without waiting: lost without an error when nobody is there, refused only by a full queue."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from devices.backends.net.address import Place

TRIES: Final = 2
"""A second one for a receiver that has come after another at the same place."""


class Sender(Protocol):
    """Where datagrams go."""

    @property
    def descriptor(self) -> int:
        """What becomes writable after send() has refused."""

    def send(self, data: bytes) -> bool:
        """Send or lose one datagram; False if it must wait."""

    def close(self) -> None:
        """Let go of the socket."""


class InetSender:
    """A UDP socket, connected or with a target."""

    def __init__(self, sender: socket.socket, target: Place | None = None) -> None:
        self._socket = sender
        self._target = target

    @property
    def descriptor(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def send(self, data: bytes) -> bool:
        """False while the host's queue is full."""
        try:
            if self._target is None:
                self._socket.send(data)
            else:
                self._socket.sendto(data, self._target)
        except BlockingIOError:
            return False
        except OSError:
            # No route, no listener, too long: a datagram is lost.
            return True
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class UnixSender:
    """A socket of its own for each receiver: only one that is connected tells when its peer has room (unix(7))."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self.refused = False
        """When last called nobody had a socket there any more."""

    @property
    def descriptor(self) -> int:
        """The socket's, -1 if there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def connect(self) -> bool:
        """Whether somebody listens there."""
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sender.setblocking(False)
            sender.connect(self.path)
        except OSError as error:
            sender.close()
            self.refused = isinstance(error, ConnectionRefusedError)
            return False
        self._socket, self.refused = sender, False
        return True

    def send(self, data: bytes) -> bool:
        """False while the receiver's queue is full.  A receiver that has been replaced is found again."""
        for _ in range(TRIES):
            if self._socket is None and not self.connect():
                return True
            assert self._socket is not None
            try:
                self._socket.send(data)
            except BlockingIOError:
                return False
            except ConnectionError:
                self.close()
                continue
            except OSError:
                return True
            return True
        return True

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
