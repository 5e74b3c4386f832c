"""A serial adapter: the CDC's abstract control model (CDC PSTN 1.2) at high speed.

Lives here: line coding, modem lines, bytes in both directions.
Never here: time; a byte takes none, whatever the line coding says.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from devices.usb.functions import chapter9 as u
from devices.usb.functions import codes as c
from devices.usb.functions.base import ACK, BABBLE, NAK, STALL, Outcome, Verdict, reply
from devices.usb.functions.descriptors import (
    BULK,
    INTERRUPT,
    MANUFACTURER,
    configuration,
    device,
    endpoint,
    interface,
    qualifier,
)
from devices.usb.functions.standard import Descriptors, StandardRequests
from devices.usb.messages import What
from devices.usb.registers import SPEED_HIGH

if TYPE_CHECKING:
    from devices.usb.functions.base import Wire
    from devices.usb.functions.chapter9 import Setup
    from devices.usb.functions.state import SerialState

NOTICE_ENDPOINT: Final = u.IN | 1
DATA_IN: Final = u.IN | 2
DATA_OUT: Final = 2
PACKET: Final = 512
NOTICE_BYTES: Final = 10
CODING_BYTES: Final = 7
RECEIVE_ROOM: Final = 1 << 16
"""Bytes kept for a host that does not fetch; the backend is read no further."""
MOST_NOTICES: Final = 16
COMMUNICATIONS: Final = 2
CARRIER: Final = 0x03
"""bRxCarrier and bTxCarrier: DCD and DSR."""
BREAK: Final = 0x04

_FUNCTIONS: Final = bytes.fromhex(
    "0524001001"  # header: CDC 1.10
    "0524010001"  # call management: none, over interface 1
    "04240206"  # abstract control: line coding and state, break
    "0524060001"  # union: interface 0 controls interface 1
)
DESCRIPTORS: Final = Descriptors(
    device=device(3, device_class=COMMUNICATIONS),
    configuration=configuration(
        (
            interface(0, 1, (COMMUNICATIONS, 2, 1)),
            _FUNCTIONS,
            endpoint(NOTICE_ENDPOINT, INTERRUPT, 16, 8),
            interface(1, 2, (10, 0, 0)),
            endpoint(DATA_IN, BULK, PACKET),
            endpoint(DATA_OUT, BULK, PACKET),
        ),
        interfaces=2,
    ),
    strings=(MANUFACTURER, "USB Serial"),
    others={u.QUALIFIER_DESCRIPTOR << 8: qualifier(COMMUNICATIONS)},
    endpoints=(NOTICE_ENDPOINT, DATA_IN, DATA_OUT),
    interfaces=2,
)


class Serial(StandardRequests):
    """Bytes from outside wait here for the host; the host's go to the backend at once, as far as it takes them."""

    descriptors = DESCRIPTORS
    speed = SPEED_HIGH

    def __init__(self, state: SerialState, wire: Wire) -> None:
        super().__init__(state.device, wire)
        self._state = state

    def reset(self) -> None:
        """What has come in waits on."""
        self.device.configuration = 0
        self.device.halted = ()
        self._state.control_lines = 0
        self._state.notices = ()

    def configured(self) -> None:
        """The host learns of the line."""
        self._state.notices = (CARRIER,) if self._state.carrier and self.device.configuration else ()

    def class_request(self, setup: Setup, data: bytes) -> Outcome:
        """CDC PSTN 1.2, 6.3."""
        if setup.kind & u.KIND_MASK != u.CLASS or setup.recipient != u.INTERFACE or setup.index:
            return STALL
        s = self._state
        match setup.request:
            case c.CDC_SET_LINE_CODING if len(data) == CODING_BYTES and not setup.inbound:
                s.line_coding = data
                return ACK
            case c.CDC_GET_LINE_CODING if setup.inbound:
                return reply(s.line_coding, setup)
            case c.CDC_SET_CONTROL_LINE_STATE:
                s.control_lines = setup.value & 3
                return ACK
            case c.CDC_SEND_BREAK:
                return ACK
            case _:
                return STALL

    def fetch(self, endpoint: int, length: int) -> Outcome:
        """What has come in, or a change of the line."""
        s = self._state
        if not self.device.configuration or self.is_halted(u.IN | endpoint):
            return STALL
        if endpoint == NOTICE_ENDPOINT & 0xF:
            return self._fetch_notice(length)
        if endpoint != DATA_IN & 0xF:
            return STALL
        if not s.received:
            return NAK
        data, s.received = s.received[:length], s.received[length:]
        return Outcome(Verdict.DONE, data, last=True)

    def send(self, endpoint: int, data: bytes) -> Outcome:
        """Give the backend what it takes; the rest waits on the bus."""
        s = self._state
        if not self.device.configuration or endpoint != DATA_OUT or self.is_halted(DATA_OUT):
            return STALL
        if not data:
            return ACK
        if s.blocked:
            return NAK
        result = self.wire.send(bytes((self.wire.port,)) + data)
        taken = max(0, min(len(data), result.accepted - 1))
        if result.error:
            # A line with nobody at the other end loses what is sent.
            s.dropped += len(data) - taken
            taken = len(data)
        s.blocked = taken < len(data)
        return Outcome(Verdict.DONE, taken=taken)

    def input(self, what: What, data: bytes) -> None:
        """Bytes, a break, room at the backend, somebody coming or going.  Bytes are never refused."""
        s = self._state
        match what:
            case What.DATA:
                s.received += data
            case What.WRITABLE:
                s.blocked = False
            case What.CARRIER_ON | What.CARRIER_OFF:
                s.blocked = False
                changed, s.carrier = s.carrier != (what is What.CARRIER_ON), what is What.CARRIER_ON
                if changed:
                    self._notify(0)
            case What.BREAK:
                self._notify(BREAK)

    def _notify(self, more: int) -> None:
        s = self._state
        if self.device.configuration:
            s.notices = (*s.notices[-MOST_NOTICES + 1 :], (CARRIER if s.carrier else 0) | more)

    def _fetch_notice(self, length: int) -> Outcome:
        s = self._state
        if not s.notices:
            return NAK
        if length < NOTICE_BYTES:
            return BABBLE
        bits, s.notices = s.notices[0], s.notices[1:]
        notice = struct.pack("<BBHHHH", u.IN | u.CLASS | u.INTERFACE, c.CDC_SERIAL_STATE, 0, 0, 2, bits)
        return Outcome(Verdict.DONE, notice, last=True)


def serial_room(state: SerialState) -> int:
    """Bytes a line can take."""
    return max(0, RECEIVE_ROOM - len(state.received))
