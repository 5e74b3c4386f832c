"""`dgram`: one frame a datagram, over UDP, a multicast group or unix sockets, as QEMU has it.

As with any datagrams, whoever knows the address may send, and what nobody listens for is lost.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from devices.backends.net.address import Address, address_keys, parse_address, remove_stale
from devices.backends.net.base import NetBackend
from devices.backends.net.cable import CableWord
from devices.backends.net.senders import InetSender, Sender, UnixSender
from devices.backends.net.wire import READ_FRAMES, Wire
from devices.backends.words import parse_options
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend

ANY: Final = "0.0.0.0"  # noqa: S104  # only as the interface of a group, where it means the system's choice


Sockets = tuple[socket.socket, Sender, object]
"""Receiver, sender, and where the sender's own datagrams come from if they come back."""
Make = Callable[[], Sockets]


class DatagramWire(Wire):
    """A socket that is received from and a socket that is sent by; they may be one."""

    def __init__(self, name: str, where: str, make: Make, path: str = "") -> None:
        super().__init__()
        self._name = name
        self._where = where
        self._path = path
        """The receiver's socket file, if it has one."""
        self._make = make
        self._receiver: socket.socket | None = None
        self._own: object = None
        """Where our own datagrams come from, which a group gives back to us."""
        self._sender: Sender | None = None
        self._blocked = False

    def plug(self) -> None:
        """Make the sockets; the link is up from here on."""
        try:
            self._receiver, self._sender, self._own = self._make()
        except OSError as error:
            raise BackendError(f"{self._name}: {self._where}: {error.strerror or error}") from error
        self._tell_link(True)

    def close(self) -> None:
        """Close the sockets; a unix socket's file goes."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None
            if self._path:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)

    def descriptors(self, *, reads: bool) -> Sequence[tuple[int, bool, bool]]:
        """Both sockets, as far as they are wanted."""
        wanted: list[tuple[int, bool, bool]] = []
        if self._receiver is not None and self._sender is not None:
            receives, sends = self._receiver.fileno(), self._sender.descriptor
            if receives == sends:
                wanted.append((receives, reads, self._blocked))
            else:
                wanted += [(receives, reads, False), (sends, False, self._blocked)]
        return [each for each in wanted if each[1] or each[2]]

    def ready(self, descriptor: int, *, readable: bool, writable: bool) -> list[bytes]:
        """Take what has come, as far as one wake-up goes."""
        if writable and self._blocked:
            self._blocked = False
            self._tell_writable()
        frames: list[bytes] = []
        if self._receiver is None or self._sender is None or descriptor != self._receiver.fileno() or not readable:
            return frames
        for _ in range(READ_FRAMES):
            try:
                frame, source = self._receiver.recvfrom(1 << 16)
            except BlockingIOError:
                break
            except OSError:
                # Somebody had no listener for what was sent earlier (udp(7)); what has come stays.
                continue
            if self._own is None or source != self._own:
                frames.append(frame)
        return frames

    def send(self, frames: Sequence[bytes]) -> int:
        """One datagram a frame; what nobody takes is lost."""
        assert self._sender is not None
        for number, frame in enumerate(frames):
            if not self._sender.send(frame):
                self._blocked = True
                return number
        return len(frames)


def _unicast(local: Address, remote: Address) -> Sockets:
    """One socket both ways."""
    receiver, place = local.socket(socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiver.bind(place)
        target = remote.find(socket.SOCK_DGRAM, receiver.family)
    except OSError:
        receiver.close()
        raise
    return receiver, InetSender(receiver, target), None


def _group(interface: str, group: Address) -> Sockets:
    """A socket in the group and one of its own to send by, which makes its own frames known."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiver.bind((group.host, group.port))
        at = struct.pack("4s4s", socket.inet_aton(group.host), socket.inet_aton(interface))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, at)
        sender.setblocking(False)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        if interface != ANY:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            sender.bind((interface, 0))
        sender.connect((group.host, group.port))
    except OSError:
        receiver.close()
        sender.close()
        raise
    return receiver, InetSender(sender), sender.getsockname()


def _unix(local: Address, remote: Address) -> Sockets:
    """A bound socket to receive from; the other side may come later."""
    remove_stale(local.path, socket.SOCK_DGRAM)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.bind(local.path)
    except OSError:
        receiver.close()
        raise
    return receiver, UnixSender(remote.path), None


def create_dgram(argument: str, name: str) -> Backend:
    """`dgram,local.type=T,local...,remote.type=T,remote...`; a multicast group as `remote` needs no `local`."""
    word = CableWord.of("dgram", argument, name)
    where = f"{name}: backend {word.wire}"
    options = parse_options(word.options, address_keys("local", "remote"), where)
    multicast = _is_group(options.get("remote.host", ""))
    if multicast and "local.host" in options:
        options.setdefault("local.port", "0")
    local, remote = parse_address(options, "local", where), parse_address(options, "remote", where)
    if remote is None:
        raise BackendError(f"{where}: to whom? write remote.type=inet,remote.host=H,remote.port=P, or a unix path")
    if multicast:
        interface = local.host if local is not None else ANY
        return NetBackend(name, word, DatagramWire(name, f"group {remote}", lambda: _group(interface, remote)))
    if local is None or bool(local.path) != bool(remote.path):
        raise BackendError(f"{where}: local and remote must both be given, of one type")
    if local.path:
        return NetBackend(name, word, DatagramWire(name, str(local), lambda: _unix(local, remote), local.path))
    return NetBackend(name, word, DatagramWire(name, str(local), lambda: _unicast(local, remote)))


def _is_group(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_multicast
    except ValueError:
        return False
