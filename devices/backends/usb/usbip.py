"""`usbip,host=HOST,busid=BUSID`: a device of another host, or of a program, over USB/IP.

Nothing here waits: the name is looked up in a thread, connecting and talking go on as the socket allows.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from devices.backends.retry import Retry
from devices.backends.usb.port import Port, PortLink
from devices.backends.usb.usbip_client import UsbipClient
from devices.backends.usb.usbip_protocol import BUSID_BYTES, DEFAULT_PORT, ProtocolError
from devices.backends.words import number, parse_options
from devices.usb.messages import (
    HostDescription,
    HostUnlink,
    Kind,
    MalformedMessage,
    What,
    decode_host_request,
    encode_host_completion,
)
from machine.errors import BackendError, reason_of
from machine.message import BackendResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.backends.work import Lane

log = logging.getLogger("dejavm")

HIGHEST_PORT: Final = 65535
READ_BYTES: Final = 1 << 16
KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000),
)
"""A server that is cut off is noticed after 25 s, though a device may have nothing to say for hours (tcp(7))."""

AGAIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each try to have a device back: a server may take a while to notice that its user has died, and refuses it."""

ANSWER_S: Final = 15.0
"""How long a server may take from the call to its device's descriptors; that nothing came is said then."""

Address = tuple[int, Any]
"""Address family and socket address."""


@dataclass(frozen=True, slots=True)
class UsbipPlace:
    """A device and the server that has it."""

    host: str
    port: int
    busid: str

    def __str__(self) -> str:
        return f"USB/IP device {self.busid} at {self.host}:{self.port}"


def parse_usbip(argument: str, where: str) -> UsbipPlace:
    """`host=HOST[,port=3240],busid=BUSID`.  BackendError."""
    options = parse_options(argument, ("host", "port", "busid"), where)
    for key in ("host", "busid"):
        if not options.get(key):
            raise BackendError(f"{where}: usbip needs {key}=")
    if len(options["busid"].encode()) >= BUSID_BYTES:
        raise BackendError(f"{where}: busid {options['busid']!r} is too long, at most {BUSID_BYTES - 1} bytes")
    port = number(options.get("port", str(DEFAULT_PORT)), 1, HIGHEST_PORT, f"{where}: port")
    return UsbipPlace(options["host"], port, options["busid"])


class UsbipPort(Port):
    """A device from outside in a port: looked up, connected, imported, plugged in; unplugged at the first doubt."""

    def __init__(self, place: UsbipPlace) -> None:
        self._place = place
        self._lane: Lane | None = None
        self._addresses: deque[Address] = deque()
        self._socket: socket.socket | None = None
        self._connecting = False
        self._client = UsbipClient(place.busid)
        self._retry: Retry[list[Address]] | None = None
        self._deadline: Retry[bool] | None = None
        self._tries_left = 0
        self._trouble = ""
        self._behind = False
        """It has been said that the server is behind."""

    def come_again(self) -> None:
        """It is tried some times."""
        self._tries_left = len(AGAIN_S)

    def open(self, link: PortLink) -> None:
        """Set out for the server; whether it is there shows later."""
        self._link = link
        self._expect_answer()
        host, port = self._place.host, self._place.port
        try:
            ipaddress.ip_address(host)
        except ValueError:
            self._lane = link.pool.lane()
            self._lane.submit(lambda: _look_up(host, port), self._found)
        else:
            self._found(_look_up(host, port), 0)

    def appearing(self) -> bool:
        """Neither plugged in nor given up."""
        return not self._trouble and not self._link.plugged

    def trouble(self) -> str:
        """Why it was given up before it was plugged in."""
        return self._trouble

    def close(self) -> None:
        """Let the server have its device back."""
        self._trouble = self._trouble or "closed"
        self._addresses.clear()
        self._expect_no_answer()
        if self._retry is not None:
            self._retry.close()
            self._retry = None
        if self._lane is not None:
            self._lane.end(_nothing, finish=False)
            self._lane = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The socket: what comes was asked for, so it needs no room."""
        if self._retry is not None and self._retry.running:
            return [(self._retry.descriptor, True, False)]
        wanted = [(self._deadline.descriptor, True, False)] if self._deadline is not None else []
        if self._socket is not None:
            sends = self._connecting or bool(self._client.outgoing)
            wanted.append((self._socket.fileno(), not self._connecting, sends))
        return wanted

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Go on with whatever the socket allows."""
        if self._retry is not None and self._retry.running:
            if descriptor == self._retry.descriptor and (addresses := self._retry.take()) is not None:
                self._expect_answer()
                self._found(addresses, 0)
            return
        if self._deadline is not None and descriptor == self._deadline.descriptor:
            self._lose(f"it has not answered for {ANSWER_S:.0f} s")
            return
        if self._socket is None or descriptor != self._socket.fileno():
            return
        if self._connecting:
            self._connected(self._socket)
            return
        try:
            if readable:
                self._receive(self._socket)
            if writable:
                self._send()
        except OSError as error:
            self._lose(reason_of(error))
        except ProtocolError as reason:
            self._lose(str(reason))

    def write(self, message: bytes) -> BackendResult:
        """Send a transfer, or say that one is not wanted any more."""
        try:
            request = decode_host_request(message)
        except MalformedMessage as mistake:
            log.warning("%s: %s", self._link.where, mistake)
            return BackendResult(0, errno.EINVAL)
        if isinstance(request, HostUnlink):
            self._client.unlink(request.tag)
        elif error := self._client.submit(request):
            if error == errno.EBUSY and not self._behind:
                self._behind = True
                log.warning("%s: %s does not answer; transfers fail", self._link.where, self._place)
            return BackendResult(0, error)
        # The end of a connection shows when it is read.
        with suppress(OSError):
            self._send()
        return BackendResult(len(message))

    def _found(self, addresses: list[Address] | None, error: int) -> None:
        """The lookup has ended."""
        self._addresses = deque(addresses or ())
        if not self._addresses:
            self._lose(os.strerror(error) if error else f"no host {self._place.host} is known")
            return
        self._try_next("")

    def _try_next(self, why: str) -> None:
        """Set out for the next address; `why` the last one was no good."""
        while self._addresses:
            family, address = self._addresses.popleft()
            try:
                self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                for option in KEEPALIVE:
                    self._socket.setsockopt(*option)
                self._connecting = True
                with suppress(BlockingIOError):
                    self._socket.connect(address)
            except OSError as error:
                why = reason_of(error)
                self._drop_socket()
                continue
            # On this host it may have come to an end already.
            self._connected(self._socket)
            return
        self._lose(why)

    def _connected(self, connection: socket.socket) -> None:
        """Connecting has come to an end, one way or the other."""
        error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._drop_socket()
            self._try_next(os.strerror(error))
        elif _has_peer(connection):
            self._connecting = False

    def _expect_answer(self) -> None:
        self._deadline = Retry(lambda: True, _nothing, (ANSWER_S,))
        self._deadline.begin()

    def _expect_no_answer(self) -> None:
        if self._deadline is not None:
            self._deadline.close()
            self._deadline = None

    def _drop_socket(self) -> None:
        self._connecting = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self) -> None:
        """As much as the socket takes; OSError."""
        outgoing = self._client.outgoing
        if self._socket is None or self._connecting:
            return
        with suppress(BlockingIOError):
            while outgoing:
                done = self._socket.send(outgoing, socket.MSG_NOSIGNAL)
                del outgoing[:done]

    def _receive(self, connection: socket.socket) -> None:
        """One piece of what the server says; OSError, ProtocolError."""
        try:
            data = connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ProtocolError("the server has closed the connection")
        for event in self._client.receive(data):
            if isinstance(event, HostDescription):
                self._expect_no_answer()
                self._link.plug(Kind.HOST, event)
            else:
                self._behind = False
                self._link.data(What.DATA, encode_host_completion(event))
        self._send()

    def _lose(self, why: str) -> None:
        """Unplug it for good, or give up plugging it in, if there is no try left."""
        was_there = self._link.plugged
        if self._tries_left and not was_there:
            self._try_again()
            return
        self._trouble = f"{self._place}: {why}"
        # Whoever asked for it is told by an error, as long as he waits.
        if self._link.released:
            log.warning("%s: %s: %s", self._link.where, "unplugged" if was_there else "not plugged in", self._trouble)
        self.close()
        self._link.unplug()

    def _try_again(self) -> None:
        """With another connection, a while from now."""
        self._tries_left -= 1
        self._expect_no_answer()
        self._drop_socket()
        self._client = UsbipClient(self._place.busid)
        if self._retry is None:
            host, port = self._place.host, self._place.port
            self._retry = Retry(lambda: _look_up(host, port), _nothing, AGAIN_S)
        self._retry.begin()


def _look_up(host: str, port: int) -> list[Address]:
    """Where a host is; empty if nobody knows."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return [(family, address) for family, _, _, _, address in found]


def _has_peer(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _nothing(*_: object) -> None:
    """A lookup leaves nothing to give back."""


def create_usbip(argument: str, where: str) -> Port:
    """`usbip,...`."""
    return UsbipPort(parse_usbip(argument, where))
