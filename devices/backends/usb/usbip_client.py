"""A USB/IP client without a socket: bytes of the server in, events out; nothing it says is believed unchecked.

Lives here: importing the device, asking for its descriptors, which reply belongs to which request.
Never here: sockets, ports.
"""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from devices.backends.usb import descriptors as d
from devices.backends.usb import usbip_protocol as p
from devices.usb.messages import HOST_TRANSFER_BYTES, HostCompletion, HostDescription, HostSpeed, HostSubmit

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_UNANSWERED: Final = 256
"""Transfers the server has not ended, those not wanted any more among them."""
MOST_UNSENT_BYTES: Final = 1 << 22
"""What is kept for a server that does not read."""
REMEMBERED_UNLINKED: Final = 64
"""Unlinked transfers whose end may cross the answer to their unlinking."""
HIGHEST_SEQNUM: Final = 0xFFFF_FFFF
HIGHEST_ENDPOINT: Final = 15
LOWEST_STATUS: Final = -4095
"""MAX_ERRNO of Linux."""

_GET_DESCRIPTOR: Final = bytes((0x80, 6))
_NOTHING: Final = HostDescription(0, b"", b"")


class _State(Enum):
    IMPORTING = 1
    DESCRIBING = 2
    ATTACHED = 3


@dataclass(slots=True)
class _Transfer:
    """A command that the server has not answered; a tag of None is an answer nobody waits for."""

    tag: int | None
    inbound: bool
    length: int
    victim: int = 0
    """The seqnum it unlinks; 0 for a transfer."""


class UsbipClient:
    """One connection."""

    def __init__(self, busid: str) -> None:
        self.outgoing = bytearray(p.pack_import(busid))
        """To be sent; whoever sends takes it away."""
        self._busid = busid
        self._state = _State.IMPORTING
        self._incoming = bytearray()
        self._seqnum = 0
        self._unanswered: dict[int, _Transfer] = {}
        self._by_tag: dict[int, int] = {}
        self._unlinked: deque[tuple[int, bool, int]] = deque(maxlen=REMEMBERED_UNLINKED)
        self._devid = 0
        self._description = _NOTHING
        self._configurations_left = 0
        self._endpoints: dict[tuple[int, bool], d.Endpoint] = {}

    @property
    def attached(self) -> bool:
        """The device is ours and has described itself."""
        return self._state is _State.ATTACHED

    def receive(self, data: bytes) -> Iterator[HostDescription | HostCompletion]:
        """What the server's bytes amount to: once the device, then ends of transfers.  ProtocolError ends it."""
        self._incoming += data
        while True:
            if self._state is _State.IMPORTING:
                if not self._imported():
                    return
                continue
            message = self._message()
            if message is None:
                return
            yield from self._answered(*message)

    def submit(self, request: HostSubmit) -> int:
        """Send a transfer; 0, or the errno with which it ends here: EBUSY when the server is far behind."""
        if not self.attached:
            return errno.ENODEV
        endpoint = self._endpoints.get((request.endpoint, request.inbound))
        if endpoint is not None and endpoint.type == d.ISOCHRONOUS:
            return errno.EOPNOTSUPP
        size = request.length if request.inbound else len(request.data)
        if (
            request.tag in self._by_tag
            or request.endpoint > HIGHEST_ENDPOINT
            or request.length != size
            or size > HOST_TRANSFER_BYTES
            or (request.inbound and request.data)
        ):
            return errno.EINVAL
        if len(self._unanswered) >= MOST_UNANSWERED or len(self.outgoing) + size > MOST_UNSENT_BYTES:
            return errno.EBUSY
        self._by_tag[request.tag] = self._send(request, request.tag, endpoint)
        return 0

    def unlink(self, tag: int) -> None:
        """A transfer is not wanted any more; of one that has ended nothing is said."""
        victim = self._by_tag.pop(tag, None)
        if victim is None:
            return
        transfer = self._unanswered[victim]
        transfer.tag = None
        seqnum = self._next_seqnum()
        self._unanswered[seqnum] = _Transfer(None, inbound=False, length=0, victim=victim)
        self.outgoing += p.pack_unlink(seqnum, self._devid, victim)

    def _imported(self) -> bool:
        """Whether the reply to the import was there; the first question about descriptors goes out then."""
        if len(self._incoming) < p.OPERATION_BYTES:
            return False
        status = p.import_status(self._incoming)
        if status:
            raise p.ProtocolError(f"it does not give device {self._busid} away (status {status})")
        if len(self._incoming) < p.IMPORT_BYTES:
            return False
        device = p.unpack_import(self._incoming)
        del self._incoming[: p.IMPORT_BYTES]
        if device.busid != self._busid:
            raise p.ProtocolError(f"it gives device {device.busid!r} where {self._busid} was asked for")
        if device.speed not in tuple(HostSpeed):
            raise p.ProtocolError(f"device {self._busid} has speed {device.speed}, which is none")
        self._devid = device.devid
        self._description = HostDescription(device.speed, b"", b"")
        self._state = _State.DESCRIBING
        self._ask(d.DEVICE, 0, d.DEVICE_BYTES)
        return True

    def _message(self) -> tuple[p.Reply, _Transfer | None, bytes] | None:
        """The next whole message with the command it answers, None while there is none; ProtocolError."""
        if len(self._incoming) < p.REPLY_BYTES:
            return None
        reply = p.unpack_reply(self._incoming)
        transfer = self._unanswered.get(reply.seqnum)
        if transfer is not None:
            inbound, length = transfer.inbound, transfer.length
            if bool(transfer.victim) != (reply.command == p.RET_UNLINK):
                raise p.ProtocolError(f"the answer to command {reply.seqnum} is not of its kind")
        else:
            inbound, length = self._late(reply)
        if reply.command == p.RET_UNLINK:
            del self._incoming[: p.REPLY_BYTES]
            return reply, transfer, b""
        if reply.actual > length or not LOWEST_STATUS <= reply.status <= 0:
            raise p.ProtocolError(f"{reply.actual} of {length} bytes with status {reply.status}")
        end = p.REPLY_BYTES + (reply.actual if inbound else 0)
        if len(self._incoming) < end:
            return None
        data = bytes(self._incoming[p.REPLY_BYTES : end])
        del self._incoming[:end]
        return reply, transfer, data

    def _late(self, reply: p.Reply) -> tuple[bool, int]:
        """The direction and length of a transfer that has been unlinked; ProtocolError if there was none."""
        for seqnum, inbound, length in self._unlinked:
            if seqnum == reply.seqnum and reply.command == p.RET_SUBMIT:
                return inbound, length
        raise p.ProtocolError(f"an answer to command {reply.seqnum}, which was not sent")

    def _answered(
        self, reply: p.Reply, transfer: _Transfer | None, data: bytes
    ) -> Iterator[HostDescription | HostCompletion]:
        if transfer is None:
            return
        del self._unanswered[reply.seqnum]
        if transfer.victim:
            victim = self._unanswered.pop(transfer.victim, None)
            if victim is not None:
                self._unlinked.append((transfer.victim, victim.inbound, victim.length))
        elif self._state is _State.DESCRIBING:
            yield from self._described(reply, data)
        elif transfer.tag is not None:
            self._by_tag.pop(transfer.tag, None)
            yield HostCompletion(transfer.tag, reply.status, reply.actual, data)

    def _described(self, reply: p.Reply, data: bytes) -> Iterator[HostDescription]:
        """One descriptor after the other, a configuration's head before the whole."""
        if reply.status:
            raise p.ProtocolError(f"device {self._busid} does not describe itself (status {reply.status})")
        known = self._description
        try:
            if not known.device:
                self._configurations_left = d.count_configurations(data)
                self._description = HostDescription(known.speed, data, b"")
                self._ask(d.CONFIGURATION, 0, d.CONFIGURATION_BYTES)
                return
            total = d.total_length(data)
        except d.Implausible as reason:
            raise p.ProtocolError(f"device {self._busid} has {reason}") from reason
        index = known.device[-1] - self._configurations_left
        if len(data) < total:
            if len(data) > d.CONFIGURATION_BYTES or total + len(known.configuration) > d.MOST_BYTES:
                raise p.ProtocolError(f"device {self._busid} has {len(data)} of {total} bytes of configuration {index}")
            self._ask(d.CONFIGURATION, index, total)
            return
        known = HostDescription(known.speed, known.device, known.configuration + data)
        self._description = known
        self._configurations_left -= 1
        if self._configurations_left:
            self._ask(d.CONFIGURATION, index + 1, d.CONFIGURATION_BYTES)
            return
        self._state = _State.ATTACHED
        self._endpoints = d.endpoints(known.configuration, known.speed)
        yield known

    def _ask(self, kind: int, index: int, length: int) -> None:
        setup = _GET_DESCRIPTOR + bytes((index, kind, 0, 0)) + length.to_bytes(2, "little")
        self._send(HostSubmit(0, 0, inbound=True, setup=setup, length=length), None, None)

    def _send(self, request: HostSubmit, tag: int | None, endpoint: d.Endpoint | None) -> int:
        seqnum = self._next_seqnum()
        self._unanswered[seqnum] = _Transfer(tag, request.inbound, request.length)
        interval = endpoint.interval if endpoint is not None and endpoint.type == d.INTERRUPT else 0
        where = (seqnum, self._devid, request.endpoint, request.inbound, request.length)
        self.outgoing += p.pack_submit(p.Submit(*where, interval, request.setup, request.data))
        return seqnum

    def _next_seqnum(self) -> int:
        while True:
            self._seqnum = self._seqnum % HIGHEST_SEQNUM + 1
            if self._seqnum not in self._unanswered:
                return self._seqnum
