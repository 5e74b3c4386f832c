"""`tap`: an Ethernet interface of the host, one frame a read and a write (Linux, Documentation/networking/tuntap)."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from typing import TYPE_CHECKING, Final

from devices.backends.net.base import NetBackend
from devices.backends.net.cable import CableWord
from devices.backends.net.wire import READ_FRAMES, Wire
from devices.backends.words import parse_options
from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend

log = logging.getLogger("dejavm")

DEVICE: Final = "/dev/net/tun"
TUNSETIFF: Final = 0x400454CA
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
"""include/uapi/linux/if_tun.h of Linux."""
NAME_BYTES: Final = 16
"""IFNAMSIZ, with the final zero."""
REQUEST: Final = struct.Struct(f"{NAME_BYTES}sH22x")
"""struct ifreq with ifr_flags."""
READ_BYTES: Final = 1 << 16
TAP: Final = "tap"
"""What is left to a successor."""
SCRIPTS: Final = ("script", "downscript")


class TapWire(Wire):
    """One interface; whose side of it is up is the host's business."""

    def __init__(self, interface: str, name: str) -> None:
        super().__init__()
        self._interface = interface
        self._name = name
        self._descriptor = -1
        self._blocked = False

    def plug(self) -> None:
        """Make the interface, or take hold of one that was made for this user."""
        try:
            self._descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            request = REQUEST.pack(self._interface.encode(), IFF_TAP | IFF_NO_PI)
            answer = fcntl.ioctl(self._descriptor, TUNSETIFF, request)
        except OSError as error:
            self.close()
            raise BackendError(f"{self._name}: tap {self._interface}: {_reason(error)}") from error
        if not self._interface:
            self._interface = REQUEST.unpack(answer)[0].rstrip(b"\0").decode()
            log.warning("%s: tap interface %s", self._name, self._interface)
        if self._estate is not None:
            self._estate.leave(TAP, self._descriptor)
        self._tell_link(True)

    def reconnect(self, *, owes: bool) -> bool:
        """The predecessor's hold of the interface: one that was made for it is there still."""
        kept = self._estate.find(TAP) if self._estate is not None else ()
        if not kept:
            return False
        self._descriptor, self._blocked = kept[0], owes
        self._tell_link(True)
        return True

    def close(self) -> None:
        """Let go of the interface; one that was not made persistent goes."""
        if self._descriptor >= 0:
            if self._estate is not None:
                self._estate.take_out(TAP)
            os.close(self._descriptor)
            self._descriptor = -1

    def descriptors(self, *, reads: bool) -> Sequence[tuple[int, bool, bool]]:
        """The interface."""
        if self._descriptor < 0 or not (reads or self._blocked):
            return ()
        return [(self._descriptor, reads, self._blocked)]

    def ready(self, descriptor: int, *, readable: bool, writable: bool) -> list[bytes]:
        """Take what has come, as far as one wake-up goes."""
        if writable and self._blocked:
            self._blocked = False
            self._tell_writable()
        frames: list[bytes] = []
        while readable and len(frames) < READ_FRAMES:
            try:
                frames.append(os.read(descriptor, READ_BYTES))
            except BlockingIOError:
                break
            except OSError as error:
                self._lose(error)
                break
        return frames

    def send(self, frames: Sequence[bytes]) -> int:
        """One write a frame.  What an interface that is down does not take is lost."""
        for number, frame in enumerate(frames):
            try:
                os.write(self._descriptor, frame)
            except BlockingIOError:
                self._blocked = True
                return number
            except OSError:
                continue
        return len(frames)

    def _lose(self, error: OSError) -> None:
        log.warning("%s: tap %s is gone: %s", self._name, self._interface, error.strerror)
        self.close()
        self._blocked = False
        self._tell_link(False)


def _reason(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return (
            "this needs CAP_NET_ADMIN, or an interface that was made for you: "
            "ip tuntap add dev NAME mode tap user USER, then ifname=NAME"
        )
    if error.errno in (errno.ENOENT, errno.ENODEV):
        return f"the host has no {DEVICE}"
    if error.errno == errno.EINVAL:
        return "there is an interface of that name that is no tap"
    return error.strerror or str(error)


def create_tap(argument: str, name: str) -> Backend:
    """`tap[,ifname=I][,script=no][,downscript=no]`; without a name the host chooses one and it is said."""
    word = CableWord.of("tap", argument, name)
    where = f"{name}: backend {word.wire}"
    options = parse_options(word.options, ("ifname", *SCRIPTS), where)
    for key in SCRIPTS:
        if options.get(key, "no") != "no":
            raise BackendError(f"{where}: no scripts are run: {key}=no, and set the interface up yourself")
    interface = options.get("ifname", "")
    if len(interface.encode()) >= NAME_BYTES or "/" in interface or "\0" in interface:
        raise BackendError(f"{where}: ifname: an interface's name has 1 to {NAME_BYTES - 1} bytes")
    return NetBackend(name, word, TapWire(interface, name))
