"""A stream socket, TCP or unix, as server or client: one peer at a time, who may come and go.

While no peer is there, output is taken and dropped, as QEMU does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from devices.backends.char.address import StreamAddress, parse_tcp, parse_unix
from devices.backends.char.base import CharBackend
from devices.backends.outlet import NAME as OUTLET
from devices.backends.outlet import Outlet
from devices.backends.words import split_commas
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Estate, Submit

log = logging.getLogger("dejavm")
CONNECT_TIMEOUT_S: Final = 10.0
LISTENER, PEER = "listener", "peer"
"""What is left to a successor, and outlet.py's pipe."""
SO_PEEK_OFF: Final = 42
"""include/uapi/asm-generic/socket.h of Linux; Python has no name for it."""
PARTING_BYTES: Final = 1 << 16
PARTING_READS: Final = 64
"""A peer that still sends when we leave is not listened to for ever."""


class StreamBackend(CharBackend):
    """One listening socket, or none; one peer, or none."""

    KEEPS_PEER: ClassVar[bool] = True
    """A successor goes on with the peer."""

    def __init__(self, address: StreamAddress, name: str) -> None:
        super().__init__(name)
        self.address = address
        """Where it is; a chosen port is filled in once open."""
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._peer_listens = False
        self._blocked = False
        self._ever_opened = False
        self._outlet: Outlet | None = None
        self._peeks = False
        """What is read is looked at first, and taken when it is safe."""

    def open(self, submit: Submit) -> None:
        """Listen, or connect; BackendError names the address."""
        super().open(submit)
        try:
            if self.address.server:
                self._listen()
            else:
                self._adopt(self._connect())
        except OSError as error:
            text = error.strerror or str(error)
            raise BackendError(f"{self._name}: {self.address}: {text}") from error

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """The predecessor's listener and peer are ours now; what it was about to say of its peer is not known."""
        if self._estate is None or self._estate.untouched:
            # A predecessor that had seen nobody leaves a listener at the most, which open() finds.
            return False
        super().open(submit)
        listening, peer = self._estate.find(LISTENER), self._estate.find(PEER)
        if listening:
            self._listener = socket.socket(fileno=listening[0])
            if not self.address.path:
                self.address = replace(self.address, port=self._listener.getsockname()[1])
        if peer and self.KEEPS_PEER:
            self._inherit(socket.socket(fileno=peer[0]), owes=owes)
            return True
        if not listening and (self.address.server or not self.KEEPS_PEER):
            return False
        # Nobody is there; if the predecessor had somebody it could not keep, the line goes down here.
        self._ever_opened = True
        submit(HostEvent.CLOSED, b"", 0)
        return True

    def close(self) -> None:
        """Close everything; a server's socket file goes with it."""
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None
        if self._estate is not None:
            for name in (PEER, LISTENER, OUTLET):
                self._estate.take_out(name)
        if self._peer is not None:
            _part(self._peer)
            self._peer = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            if self.address.path:
                with contextlib.suppress(OSError):
                    os.unlink(self.address.path)

    def waiting(self) -> str:
        """A server told to wait has seen nobody yet."""
        waits = self.address.server and self.address.wait and not self._ever_opened
        return f"a client on {self.address}; connect one, or say wait=off" if waits else ""

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The peer as far as there is room; without a peer the listener."""
        if self._peer is not None:
            return [(self._peer.fileno(), room > 0, self._blocked)] if room > 0 or self._blocked else ()
        return [(self._listener.fileno(), True, False)] if self._listener is not None else ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Accept, read, or go on writing."""
        if self._peer is None:
            self._accept()
            return
        if writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)
        if readable and room > 0:
            self._read(self._peer, room)

    def write(self, data: bytes) -> BackendResult:
        """Send as much as goes.  A peer that stops listening is an error once, then as good as gone."""
        if self._peer is None or not self._peer_listens:
            return BackendResult(len(data))
        if self._outlet is not None:
            return self._judge(self._outlet.write(self._peer.fileno(), data), data)
        done = 0
        try:
            while done < len(data):
                done += self._peer.send(data[done:], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            self._blocked = True
        except OSError as error:
            # What it said before it went is still read; its end shows there.
            self._peer_listens = False
            return BackendResult(done, error.errno or 0)
        return BackendResult(done)

    def write_again(self, data: bytes) -> BackendResult:
        """The rest of what a predecessor was about to write."""
        if self._peer is None or not self._peer_listens or self._outlet is None:
            return self.write(data)
        return self._judge(self._outlet.write_again(self._peer.fileno(), data), data)

    def _judge(self, result: BackendResult, data: bytes) -> BackendResult:
        """What a result says of the peer."""
        if result.error:
            self._peer_listens = False
        else:
            self._blocked = result.accepted < len(data)
        return result

    def _listen(self) -> None:
        listener = self._left_listener() or self._bound()
        listener.setblocking(False)
        self._listener = listener
        if self._estate is not None:
            self._estate.leave(LISTENER, listener.fileno())
        if not self.address.path:
            port = listener.getsockname()[1]
            self.address = replace(self.address, port=port)
        log.warning("%s: listening on %s", self._name, self.address)
        if not self.address.wait:
            self._submit(HostEvent.CLOSED, b"", 0)

    def _left_listener(self) -> socket.socket | None:
        """One that a predecessor has left which nobody has come to, or somebody whom it had not let in yet."""
        if self._estate is None or not self._estate.untouched:
            return None
        left = self._estate.find(LISTENER)
        return socket.socket(fileno=left[0]) if left else None

    def _bound(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        listener = socket.socket(socket.AF_UNIX if self.address.path else family, socket.SOCK_STREAM)
        try:
            if self.address.path:
                _remove_stale(self.address.path)
                listener.bind(self.address.path)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self.address.host, self.address.port))
            listener.listen(1)
        except OSError:
            listener.close()
            raise
        return listener

    def _connect(self) -> socket.socket:
        if not self.address.path:
            return socket.create_connection((self.address.host, self.address.port), CONNECT_TIMEOUT_S)
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Its server has a place for us or it has none (unix(7)); the machine would wait for it.
        peer.setblocking(False)
        try:
            peer.connect(self.address.path)
        except BlockingIOError:
            peer.close()
            raise OSError("its server is busy and takes nobody now") from None
        except OSError:
            peer.close()
            raise
        return peer

    def _accept(self) -> None:
        assert self._listener is not None
        # The caller may have gone between the poll and now.
        with contextlib.suppress(OSError):
            self._adopt(self._listener.accept()[0])

    def _adopt(self, peer: socket.socket) -> None:
        peer.setblocking(False)
        if not self.address.path:
            # A typed character must not wait for the one before it to be acknowledged.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = peer
        self._peer_listens = True
        self._ever_opened = True
        self._submit(HostEvent.OPENED, b"", 0)
        if self._estate is not None and self.KEEPS_PEER:
            self._prepare(peer, self._estate)
            self._estate.leave(PEER, peer.fileno())

    def _prepare(self, peer: socket.socket, estate: Estate) -> None:
        """Have whatever is under way known to a successor."""
        with contextlib.suppress(OSError):
            # Where looking has a place of its own (socket(7)); else what is read at the moment of our end is lost.
            peer.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)
            self._peeks = True
        with contextlib.suppress(OSError):
            self._outlet = self._outlet or Outlet(estate)

    def _inherit(self, peer: socket.socket, *, owes: bool) -> None:
        """A predecessor's peer; what it had looked at it has taken, or we shall look at it again."""
        assert self._estate is not None
        self._peer, self._peer_listens, self._ever_opened, self._blocked = peer, True, True, owes
        with contextlib.suppress(OSError):
            looked_at = peer.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF)
            if looked_at > 0 and self._estate.last_input >= self._estate.peeked:
                peer.recv(looked_at)
        self._prepare(peer, self._estate)

    def _read(self, peer: socket.socket, room: int) -> None:
        try:
            data = self._look(peer, room) if self._peeks else peer.recv(room)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._hear(data)
            if self._peeks:
                peer.recv(len(data))
            return
        peer.close()
        self._peer = None
        self._blocked = False
        self._submit(HostEvent.CLOSED, b"", 0)
        if self._estate is not None:
            self._estate.take_out(PEER)

    def _look(self, peer: socket.socket, room: int) -> bytes:
        assert self._estate is not None
        self._estate.peeked = self._estate.last_input + 1
        return peer.recv(room, socket.MSG_PEEK)

    def _hear(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._submit(HostEvent.DATA, data, 0)


def _part(peer: socket.socket) -> None:
    """Close a connection so that the peer reads everything: input left unread would make the kernel cut it off."""
    with contextlib.suppress(OSError):
        peer.shutdown(socket.SHUT_WR)
        for _ in range(PARTING_READS):
            if not peer.recv(PARTING_BYTES):
                break
    peer.close()


def _remove_stale(path: str) -> None:
    """Remove a socket file nobody listens on any more; OSError if somebody does."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:
            return


def create_tcp(argument: str, name: str) -> Backend:
    """`tcp:HOST:PORT[,server=on][,wait=off][,telnet=on]`."""
    return _create(parse_tcp(argument, name), name)


def create_telnet(argument: str, name: str) -> Backend:
    """`telnet:HOST:PORT[,server=on][,wait=off]`."""
    return _create(parse_tcp(argument, name, "telnet"), name)


def create_unix(argument: str, name: str) -> Backend:
    """`unix:PATH[,server=on][,wait=off]`."""
    return StreamBackend(parse_unix(argument, name), name)


def create_socket(argument: str, name: str) -> Backend:
    """`socket:HOST:PORT...` is `tcp:`, `socket:PATH...` is `unix:`; a path has a slash or no port behind it."""
    place = (split_commas(argument) or [""])[0]
    is_path = "/" in place or not re.search(r":\d*$", place, re.ASCII)
    return create_unix(argument, name) if is_path else create_tcp(argument, name)


def _create(address: StreamAddress, name: str) -> Backend:
    if not address.telnet:
        return StreamBackend(address, name)
    from devices.backends.char.telnetline import TelnetBackend  # noqa: PLC0415  # few lines need it

    return TelnetBackend(address, name)
