"""A device from outside: every transfer is submitted to the backend, and ends when its completion is delivered.

At most one transfer is under way for each endpoint and direction.  What is not wanted any more is unlinked; the
completion of an unlinked transfer is nobody's.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from devices.usb import registers as r
from devices.usb.functions import chapter9 as u
from devices.usb.functions.base import BABBLE, ERROR, NAK, STALL, Outcome, Verdict
from devices.usb.functions.state import HostTransfer
from devices.usb.messages import (
    HOST_TRANSFER_BYTES,
    HostSpeed,
    HostSubmit,
    HostUnlink,
    MalformedMessage,
    What,
    decode_host_completion,
    encode_host_request,
)

if TYPE_CHECKING:
    from devices.usb.functions.base import Wire
    from devices.usb.functions.chapter9 import Setup
    from devices.usb.functions.state import HostState, SocketState

SPEEDS: Final[Mapping[int, int]] = {
    HostSpeed.LOW: r.SPEED_LOW,
    HostSpeed.FULL: r.SPEED_FULL,
    HostSpeed.HIGH: r.SPEED_HIGH,
    HostSpeed.SUPER: r.SPEED_SUPER,
    HostSpeed.SUPER_PLUS: r.SPEED_SUPER,
}
"""USB/IP's numbers to xHCI's."""
FAILURES: Final[Mapping[int, Outcome]] = {-errno.EPIPE: STALL, -errno.EOVERFLOW: BABBLE}
FINE: Final = (0, -errno.EREMOTEIO)
"""Statuses with data: -EREMOTEIO says that it was less than asked for."""
TAG_MASK: Final = (1 << 32) - 1


class Host:
    """The transfers of one device."""

    wakes = False

    def __init__(self, state: HostState, socket: SocketState, wire: Wire) -> None:
        self._state = state
        self._socket = socket
        self._wire = wire

    @property
    def speed(self) -> int:
        """As it was plugged in."""
        return self._state.speed

    def reset(self) -> None:
        """Nothing is under way any more."""
        for transfer in self._state.transfers:
            self.cancel(transfer.address)

    def control(self, setup: Setup, data: bytes) -> Outcome:
        """Any request but SET_ADDRESS, which is the bus's own."""
        if setup.kind & u.KIND_MASK == u.STANDARD and setup.request == u.SET_ADDRESS:
            return STALL
        done = self._attempt(0, HostSubmit(0, 0, setup.inbound, setup.pack(), setup.length, data))
        if isinstance(done, Outcome):
            return done
        return Outcome(Verdict.DONE, done.data, last=True)

    def send(self, endpoint: int, data: bytes) -> Outcome:
        """OUT."""
        data = data[:HOST_TRANSFER_BYTES]
        done = self._attempt(endpoint, HostSubmit(0, endpoint, inbound=False, length=len(data), data=data))
        if isinstance(done, Outcome):
            return done
        if done.actual < len(data):
            return ERROR
        return Outcome(Verdict.DONE, taken=len(data))

    def fetch(self, endpoint: int, length: int) -> Outcome:
        """IN."""
        length = min(length, HOST_TRANSFER_BYTES)
        done = self._attempt(u.IN | endpoint, HostSubmit(0, endpoint, inbound=True, length=length))
        if isinstance(done, Outcome):
            return done
        return Outcome(Verdict.DONE, done.data, last=len(done.data) < length)

    def cancel(self, address: int) -> None:
        """Unlink what is under way there; a completion that has come is dropped."""
        for transfer in self._state.transfers:
            if transfer.address == address and not transfer.done:
                self._wire.send(encode_host_request(self._wire.port, HostUnlink(transfer.tag)))
        self._forget(address)

    def unplugged(self) -> None:
        """The backend knows."""

    def input(self, what: What, data: bytes) -> None:
        """A completion."""
        if what is not What.DATA:
            return
        try:
            completion = decode_host_completion(data)
        except MalformedMessage:
            return
        for transfer in self._state.transfers:
            if transfer.tag == completion.tag and not transfer.done:
                transfer.done = True
                transfer.status = completion.status
                transfer.actual = completion.actual
                transfer.data = completion.data

    def expired(self) -> None:
        """No timer."""

    def _attempt(self, address: int, submit: HostSubmit) -> HostTransfer | Outcome:
        """The transfer if it has ended well; how it has failed; NAK while it is under way."""
        transfer = next((t for t in self._state.transfers if t.address == address), None)
        if transfer is None:
            return self._submit(address, submit)
        if not transfer.done:
            return NAK
        self._forget(address)
        if transfer.status not in FINE:
            return FAILURES.get(transfer.status, ERROR)
        return BABBLE if len(transfer.data) > transfer.length else transfer

    def _submit(self, address: int, submit: HostSubmit) -> Outcome:
        tag = self._socket.last_tag + 1 & TAG_MASK or 1
        self._socket.last_tag = tag
        fields = (submit.endpoint, submit.inbound, submit.setup, submit.length, submit.data)
        message = encode_host_request(self._wire.port, HostSubmit(tag, *fields))
        result = self._wire.send(message)
        if result.error or result.accepted < len(message):
            return ERROR
        self._state.transfers = (*self._state.transfers, HostTransfer(address, tag, submit.length))
        return NAK

    def _forget(self, address: int) -> None:
        self._state.transfers = tuple(t for t in self._state.transfers if t.address != address)
