"""USB/IP on the wire: each message as bytes; all numbers are big-endian.

Source: Linux, Documentation/usb/usbip_protocol.rst, version 1.1.1 of the protocol.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

VERSION: Final = 0x0111
DEFAULT_PORT: Final = 3240

OP_REQ_IMPORT: Final = 0x8003
OP_REP_IMPORT: Final = 0x0003
CMD_SUBMIT: Final = 1
CMD_UNLINK: Final = 2
RET_SUBMIT: Final = 3
RET_UNLINK: Final = 4

DIR_OUT: Final = 0
DIR_IN: Final = 1
URB_DIR_IN: Final = 0x200
"""transfer_flags of an IN transfer (include/linux/usb.h)."""
NOT_ISOCHRONOUS: Final = 0xFFFF_FFFF
"""number_of_packets of everything else."""
BUSID_BYTES: Final = 32

_OPERATION: Final = struct.Struct(">HHI")
_DEVICE: Final = struct.Struct(">256s32sIIIHHHBBBBBB")
_BASIC: Final = struct.Struct(">IIIII")
_SUBMIT: Final = struct.Struct(">IIIII IIIII8s")
_UNLINK: Final = struct.Struct(">IIIII I24x")
_REPLY: Final = struct.Struct(">IIIII iIIII8x")

OPERATION_BYTES: Final = _OPERATION.size
IMPORT_BYTES: Final = _OPERATION.size + _DEVICE.size
"""A successful reply to an import; one that refuses is OPERATION_BYTES long."""
REPLY_BYTES: Final = _REPLY.size
"""The head of RET_SUBMIT and RET_UNLINK."""


class ProtocolError(ValueError):
    """The server has said what no server says; the text says what."""


@dataclass(frozen=True, slots=True)
class ExportedDevice:
    """The device of a reply to an import."""

    busid: str
    devid: int
    """Its number in commands: bus << 16 | device."""
    speed: int
    """enum usb_device_speed of Linux."""


@dataclass(frozen=True, slots=True)
class Submit:
    """CMD_SUBMIT of anything but an isochronous transfer; `length` is len(data) for OUT."""

    seqnum: int
    devid: int
    endpoint: int
    inbound: bool
    length: int
    interval: int = 0
    setup: bytes = bytes(8)
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of RET_SUBMIT or RET_UNLINK; `actual` belongs to RET_SUBMIT."""

    command: int
    seqnum: int
    status: int
    actual: int


def pack_import(busid: str) -> bytes:
    """OP_REQ_IMPORT."""
    return _OPERATION.pack(VERSION, OP_REQ_IMPORT, 0) + busid.encode().ljust(BUSID_BYTES, b"\0")


def import_status(data: bytes | bytearray) -> int:
    """The status in the head of OP_REP_IMPORT; ProtocolError if it is none."""
    version, code, status = _OPERATION.unpack_from(data)
    if code != OP_REP_IMPORT or version >> 8 != VERSION >> 8:
        raise ProtocolError(f"it answers {data[:OPERATION_BYTES].hex()}, not as a USB/IP server does")
    return int(status)


def unpack_import(data: bytes | bytearray) -> ExportedDevice:
    """The device in an OP_REP_IMPORT of IMPORT_BYTES."""
    _path, busid, busnum, devnum, speed, *_ = _DEVICE.unpack_from(data, _OPERATION.size)
    name = busid.partition(b"\0")[0].decode(errors="replace")
    return ExportedDevice(name, (busnum << 16 | devnum) & 0xFFFF_FFFF, speed)


def pack_submit(submit: Submit) -> bytes:
    """CMD_SUBMIT."""
    direction, flags = (DIR_IN, URB_DIR_IN) if submit.inbound else (DIR_OUT, 0)
    basic = (CMD_SUBMIT, submit.seqnum, submit.devid, direction, submit.endpoint)
    head = _SUBMIT.pack(*basic, flags, submit.length, 0, NOT_ISOCHRONOUS, submit.interval, submit.setup)
    return head + submit.data


def pack_unlink(seqnum: int, devid: int, victim: int) -> bytes:
    """CMD_UNLINK of the command `victim`."""
    return _UNLINK.pack(CMD_UNLINK, seqnum, devid, DIR_OUT, 0, victim)


def unpack_reply(data: bytes | bytearray) -> Reply:
    """The first REPLY_BYTES; ProtocolError if they are no reply."""
    command, seqnum, _devid, _direction, _endpoint, status, actual, *_ = _REPLY.unpack_from(data)
    if command not in (RET_SUBMIT, RET_UNLINK):
        raise ProtocolError(f"a message with command {command}")
    return Reply(command, seqnum, status, actual)
