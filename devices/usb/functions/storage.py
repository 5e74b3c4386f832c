"""A disk behind the Bulk-Only Transport 1.0 at SuperSpeed: command, data and status stages, halts, reset recovery.

Theory of operation.  A READ asks the image for its first piece at once and for the next one when the last has been
fetched; a WRITE gives the image each full piece while the next one gathers.  One request is out at a time, so the
image sees them in order.  A stage that has to wait for the image answers NAK.  A failure ends the data stage with a
halt where the host still wants data, and is told in the status (sections 5 and 6).
"""

from __future__ import annotations

import errno
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from devices.usb.functions import chapter9 as u
from devices.usb.functions import codes as c
from devices.usb.functions.base import ACK, BABBLE, NAK, STALL, Outcome, Verdict, reply
from devices.usb.functions.descriptors import (
    BULK,
    MANUFACTURER,
    capabilities,
    companion,
    configuration,
    device,
    endpoint,
    interface,
)
from devices.usb.functions.scsi import Plan, fail, plan
from devices.usb.functions.sense import NO_SUCH_UNIT, NOTHING, Sense, sense_of
from devices.usb.functions.standard import Descriptors, StandardRequests
from devices.usb.messages import (
    STORAGE_REQUEST_BYTES,
    MalformedMessage,
    StorageOperation,
    StorageRequest,
    What,
    decode_storage_completion,
    encode_storage_request,
)
from devices.usb.registers import SPEED_SUPER

if TYPE_CHECKING:
    from devices.usb.functions.base import Wire
    from devices.usb.functions.chapter9 import Setup
    from devices.usb.functions.state import SocketState, StorageState

DATA_IN: Final = u.IN | 1
DATA_OUT: Final = 2
PACKET: Final = 1024
BURST: Final = 15
COMMAND_BYTES: Final = 31
STATUS_BYTES: Final = 13
LONGEST_COMMAND: Final = 16
TAG_MASK: Final = (1 << 32) - 1
PASSED: Final = 0
FAILED: Final = 1
PHASE_ERROR: Final = 2
_COMMAND: Final = struct.Struct("<4sIIBBB16s")
_STATUS: Final = struct.Struct("<4sIIB")

DESCRIPTORS: Final = Descriptors(
    device=device(4, version=0x0300, packet=9),
    configuration=configuration(
        (
            # Mass storage, transparent SCSI, Bulk-Only.
            interface(0, 2, (8, 6, 0x50)),
            endpoint(DATA_IN, BULK, PACKET),
            companion(BURST),
            endpoint(DATA_OUT, BULK, PACKET),
            companion(BURST),
        ),
    ),
    strings=(MANUFACTURER, "USB Disk"),
    others={u.BOS_DESCRIPTOR << 8: capabilities()},
    endpoints=(DATA_IN, DATA_OUT),
)


class Phase(IntEnum):
    """Which stage of a command comes next."""

    COMMAND = 0
    DATA_IN = 1
    DATA_OUT = 2
    STATUS = 3
    WEDGED = 4
    """An invalid command block: both endpoints stay halted until reset recovery (6.6.1)."""


class Storage(StandardRequests):
    """One disk, one logical unit."""

    descriptors = DESCRIPTORS
    speed = SPEED_SUPER

    def __init__(self, state: StorageState, socket: SocketState, wire: Wire) -> None:
        super().__init__(state.device, wire)
        self._state = state
        self._socket = socket

    def reset(self) -> None:
        """The command under way is forgotten."""
        self.device.configuration = 0
        self.device.halted = ()
        self._begin_anew()

    def configured(self) -> None:
        """The command under way is forgotten."""
        self._begin_anew()

    def unhalted(self, address: int) -> None:
        """An endpoint that reset recovery has not preceded halts again."""
        if self._state.phase == Phase.WEDGED:
            self.halt(address)

    def class_request(self, setup: Setup, data: bytes) -> Outcome:
        """Bulk-Only Transport, section 3."""
        to_interface = setup.kind & u.KIND_MASK == u.CLASS and setup.recipient == u.INTERFACE and not setup.index
        if not to_interface or not self.device.configuration:
            return STALL
        match setup.request:
            case c.BULK_GET_MAX_LUN if setup.inbound:
                return reply(bytes(1), setup)
            case c.BULK_RESET if not setup.inbound and not setup.length:
                self._begin_anew()
                return ACK
            case _:
                return STALL

    def fetch(self, endpoint: int, length: int) -> Outcome:
        """Data or status."""
        if endpoint != DATA_IN & 0xF or not self.device.configuration or self.is_halted(DATA_IN):
            return STALL
        match self._state.phase:
            case Phase.DATA_IN:
                return self._fetch_data(length)
            case Phase.STATUS if not self._state.operation:
                return self._fetch_status(length)
            case _:
                return NAK

    def send(self, endpoint: int, data: bytes) -> Outcome:
        """A command or data."""
        if endpoint != DATA_OUT or not self.device.configuration or self.is_halted(DATA_OUT):
            return STALL
        match self._state.phase:
            case Phase.COMMAND:
                return self._take_command(data)
            case Phase.DATA_OUT:
                return self._take_data(data)
            case _:
                return self.halt(DATA_OUT)

    def input(self, what: What, data: bytes) -> None:
        """The image has completed a request."""
        if what is not What.DATA:
            return
        try:
            completion = decode_storage_completion(data)
        except MalformedMessage:
            return
        if self._state.operation and completion.tag == self._state.request:
            self._complete(completion.error, completion.data)

    # The stages.

    def _take_command(self, data: bytes) -> Outcome:
        """The command stage (5.1, 6.2)."""
        s = self._state
        if len(data) != COMMAND_BYTES:
            return self._wedge()
        signature, tag, expected, flags, unit, size, command = _COMMAND.unpack(data)
        if signature != b"USBC" or not 1 <= size <= LONGEST_COMMAND:
            return self._wedge()
        s.command_tag, s.expected, s.inbound = tag, expected, bool(flags & u.IN)
        s.status, s.data, s.blocks = PASSED, b"", 0
        planned = fail(NO_SUCH_UNIT) if unit & 0xF else plan(s, command, f"{self.wire.port:012d}")
        if planned.failure != NOTHING:
            self._fail(planned.failure)
        self._carry_out(planned)
        return Outcome(Verdict.DONE, taken=len(data))

    def _carry_out(self, planned: Plan) -> None:
        """Begin the data stage that host and device agree on; where they do not, section 6.7 says what happens."""
        s = self._state
        outgoing = planned.writes * s.block_size
        incoming = planned.reads * s.block_size + len(planned.answer)
        s.block, s.blocks = planned.block, planned.reads or planned.writes
        s.phase = Phase.STATUS
        if planned.flushes:
            self._request(StorageOperation.FLUSH)
        agreed = (outgoing and not s.inbound) or (incoming and s.inbound)
        if not outgoing and not incoming:
            self._end_data()
        elif not agreed or outgoing + incoming > s.expected:
            s.blocks = 0
            s.status = PHASE_ERROR
            self._end_data()
        elif outgoing:
            s.phase = Phase.DATA_OUT
        else:
            s.phase = Phase.DATA_IN
            s.data = planned.answer
            self._read_ahead()

    def _end_data(self) -> None:
        """Nothing more is moved: an endpoint that the host still wants data of, or to give it to, halts."""
        s = self._state
        s.phase = Phase.STATUS
        s.blocks = 0
        if s.expected:
            self.halt(DATA_IN if s.inbound else DATA_OUT)

    def _fetch_data(self, length: int) -> Outcome:
        """The data stage, device to host.  Less than the host expects ends with a short packet."""
        s = self._state
        if not s.data and s.operation:
            return NAK
        data, s.data = s.data[:length], s.data[length:]
        s.expected -= len(data)
        self._read_ahead()
        last = not (s.data or s.blocks or s.operation)
        ended = last and (not s.expected or len(data) < length)
        if ended:
            s.phase = Phase.STATUS
        return Outcome(Verdict.DONE, data, last=ended)

    def _take_data(self, data: bytes) -> Outcome:
        """The data stage, host to device."""
        s = self._state
        wanted = s.blocks * s.block_size - len(s.data)
        taken = data[: min(wanted, STORAGE_REQUEST_BYTES - len(s.data))]
        if data and not taken:
            return NAK
        s.data += taken
        s.expected -= len(taken)
        self._write_behind()
        return Outcome(Verdict.DONE, taken=len(taken))

    def _fetch_status(self, length: int) -> Outcome:
        """The status stage (5.2)."""
        s = self._state
        if length < STATUS_BYTES:
            return BABBLE
        s.phase = Phase.COMMAND
        return Outcome(Verdict.DONE, _STATUS.pack(b"USBS", s.command_tag, s.expected, s.status), last=True)

    def _wedge(self) -> Outcome:
        self._state.phase = Phase.WEDGED
        self.halt(DATA_IN)
        return self.halt(DATA_OUT)

    def _fail(self, sense: Sense) -> None:
        self._state.status = FAILED
        self._state.sense = sense

    def _begin_anew(self) -> None:
        """Ready for a command.  A request that is out completes for nobody."""
        s = self._state
        s.phase = Phase.COMMAND
        s.data = b""
        s.blocks = s.operation = s.expected = 0

    # The image.

    def _read_ahead(self) -> None:
        """Ask for the next piece of a READ when the last one has been fetched."""
        s = self._state
        if s.blocks and not s.data and not s.operation:
            count = min(s.blocks, STORAGE_REQUEST_BYTES // s.block_size)
            first = s.block
            s.block, s.blocks = first + count, s.blocks - count
            self._request(StorageOperation.READ, first, count)

    def _write_behind(self) -> None:
        """Give the image a piece of a WRITE that is full, or the last; with the last the data stage has ended."""
        s = self._state
        full = len(s.data) in (STORAGE_REQUEST_BYTES, s.blocks * s.block_size)
        if not full or s.operation or not s.data:
            return
        data, s.data = s.data, b""
        count = len(data) // s.block_size
        first = s.block
        s.block, s.blocks = first + count, s.blocks - count
        if not s.blocks:
            self._end_data()
        self._request(StorageOperation.WRITE, first, count, data)

    def _request(self, operation: StorageOperation, first: int = 0, blocks: int = 0, data: bytes = b"") -> None:
        """One request; an image that does not take it has failed it."""
        s = self._state
        tag = self._socket.last_tag + 1 & TAG_MASK or 1
        self._socket.last_tag = s.request = tag
        s.operation = operation
        s.asked = blocks * s.block_size
        message = encode_storage_request(self.wire.port, StorageRequest(tag, operation, first, blocks, data))
        result = self.wire.send(message)
        if result.error or result.accepted < len(message):
            self._complete(result.error or errno.EIO, b"")

    def _complete(self, error: int, data: bytes) -> None:
        """The request that is out has ended; one that has failed ends the command's data stage."""
        s = self._state
        operation, s.operation = s.operation, 0
        reading = operation == StorageOperation.READ
        if not error and reading and len(data) != s.asked:
            error = errno.EIO
        if error:
            self._fail(sense_of(error, writing=not reading))
            s.data = b""
            if s.phase != Phase.STATUS:
                self._end_data()
        elif reading:
            s.data = data
        elif s.phase == Phase.DATA_OUT:
            self._write_behind()
