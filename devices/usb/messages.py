"""What the xHCI model and its backend say to each other: the data of HostInput and of output().

Lives here: the bytes of each message, little-endian, and the limits both sides keep.
Never here: what a message leads to; this module imports nothing but numbers and bytes.

Every message begins with its port, u8 from 1.

    HostInput(OPENED)   port, kind u8, description      something has been plugged in
    HostInput(CLOSED)   port                            it has gone; nothing of it follows
    HostInput(DATA)     port, what u8, rest             see What
    output()            port, rest                      by kind of what is plugged in there

An output() is one message: BackendResult.accepted counts its bytes, the port's included.  A serial message of
which less than all is accepted, without an error, is owed What.WRITABLE; storage and host messages are taken
whole or refused with an errno, which the model takes for the request's own end.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeVar

E = TypeVar("E", bound=IntEnum)

PORTS: Final = 8
"""Sockets of the machine: ports are numbered 1 to PORTS."""
STORAGE_REQUEST_BYTES: Final = 1 << 17
"""The most a storage request reads or writes; longer commands become several requests."""
HOST_TRANSFER_BYTES: Final = 1 << 17
"""The most a host request transfers; longer transfers become several requests."""
BLOCK_SIZES: Final = (512, 1024, 2048, 4096)
"""What a storage device's blocks may be."""
MOST_BLOCKS: Final = 1 << 40
"""The largest storage device."""


class Kind(IntEnum):
    """What is plugged into a port."""

    KEYBOARD = 1
    MOUSE = 2
    STORAGE = 3
    SERIAL = 4
    HOST = 5


class What(IntEnum):
    """What a HostInput(DATA) says of its port."""

    DATA = 1
    """By kind: input events (machine/input_events.py); bytes; StorageCompletion; HostCompletion."""
    CARRIER_ON = 2
    """Serial: somebody is at the other end."""
    CARRIER_OFF = 3
    WRITABLE = 4
    """Serial: output is taken again."""
    BREAK = 5
    """Serial: a break condition."""


class StorageOperation(IntEnum):
    """What a StorageRequest asks for."""

    READ = 1
    WRITE = 2
    FLUSH = 3


class HostOperation(IntEnum):
    """What a message to a device from outside asks for."""

    SUBMIT = 1
    UNLINK = 2


class HostSpeed(IntEnum):
    """Speeds as USB/IP and Linux number them (enum usb_device_speed)."""

    LOW = 1
    FULL = 2
    HIGH = 3
    SUPER = 5
    SUPER_PLUS = 6


class MalformedMessage(ValueError):
    """Bytes that are no message of this page; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class StorageDescription:
    """A disk of `size` bytes, a multiple of `block_size` (one of BLOCK_SIZES)."""

    size: int
    block_size: int = 512
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class HostDescription:
    """A device from outside: its speed and its device and configuration descriptors as it gave them."""

    speed: int
    device: bytes
    configuration: bytes


Description = StorageDescription | HostDescription | None


@dataclass(frozen=True, slots=True)
class Plugged:
    """HostInput(OPENED).  `description` belongs to STORAGE and HOST; the others have none."""

    port: int
    kind: Kind
    description: Description = None


@dataclass(frozen=True, slots=True)
class PortData:
    """HostInput(DATA)."""

    port: int
    what: What
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class StorageRequest:
    """A request to a disk image; `data` are the bytes of a WRITE, whole blocks."""

    tag: int
    operation: StorageOperation
    first_block: int = 0
    blocks: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class StorageCompletion:
    """How a StorageRequest ended: `error` is an errno, 0 for none; `data` are the bytes of a READ."""

    tag: int
    error: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class HostSubmit:
    """A transfer for a device from outside.

    `endpoint` is 0 to 15; `setup` the 8 bytes of a control request, zeros elsewhere; `length` the bytes that are
    sent, or taken at most; `data` the bytes of an OUT transfer.
    """

    tag: int
    endpoint: int
    inbound: bool
    setup: bytes = bytes(8)
    length: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class HostUnlink:
    """The transfer of this tag is not wanted any more.  Its completion is awaited no longer and ignored."""

    tag: int


@dataclass(frozen=True, slots=True)
class HostCompletion:
    """How a HostSubmit ended: `status` is 0 or a negative errno as USB/IP gives it, -EPIPE for a stall."""

    tag: int
    status: int = 0
    actual: int = 0
    data: bytes = b""


_STORAGE: Final = struct.Struct("<QIB")
_REQUEST: Final = struct.Struct("<BIBQI")
_COMPLETION: Final = struct.Struct("<II")
_SUBMIT: Final = struct.Struct("<BBIBB8sI")
_UNLINK: Final = struct.Struct("<BBI")
_HOST_COMPLETION: Final = struct.Struct("<IiI")
_LENGTH: Final = struct.Struct("<H")


def encode_plugged(message: Plugged) -> bytes:
    """The data of HostInput(OPENED)."""
    head = bytes((message.port, message.kind))
    match message.description:
        case StorageDescription(size, block_size, read_only):
            return head + _STORAGE.pack(size, block_size, read_only)
        case HostDescription(speed, device, configuration):
            sized = [_LENGTH.pack(len(data)) + data for data in (device, configuration)]
            return head + bytes((speed,)) + b"".join(sized)
        case _:
            return head


def decode_plugged(data: bytes) -> Plugged:
    """The message in the data of HostInput(OPENED); MalformedMessage."""
    port, rest = _port(data)
    kind = _enum(Kind, rest)
    match kind:
        case Kind.STORAGE:
            return Plugged(port, kind, _storage(rest[1:]))
        case Kind.HOST:
            return Plugged(port, kind, _host(rest[1:]))
        case _ if len(rest) > 1:
            raise MalformedMessage(f"{len(rest) - 1} bytes behind a {kind.name}")
        case _:
            return Plugged(port, kind)


def encode_unplugged(port: int) -> bytes:
    """The data of HostInput(CLOSED)."""
    return bytes((port,))


def decode_unplugged(data: bytes) -> int:
    """The port in the data of HostInput(CLOSED); MalformedMessage."""
    port, rest = _port(data)
    if rest:
        raise MalformedMessage(f"{len(rest)} bytes behind port {port}")
    return port


def encode_data(message: PortData) -> bytes:
    """The data of HostInput(DATA)."""
    return bytes((message.port, message.what)) + message.data


def decode_data(data: bytes) -> PortData:
    """The message in the data of HostInput(DATA); MalformedMessage."""
    port, rest = _port(data)
    return PortData(port, _enum(What, rest), rest[1:])


def encode_storage_request(port: int, request: StorageRequest) -> bytes:
    """An output() to a disk image."""
    head = _REQUEST.pack(port, request.tag, request.operation, request.first_block, request.blocks)
    return head + request.data


def decode_storage_request(data: bytes) -> StorageRequest:
    """The request in an output(), port included; MalformedMessage."""
    _, tag, number, first_block, blocks = _unpack(_REQUEST, data)
    operation = _enum(StorageOperation, bytes((number,)))
    return StorageRequest(tag, operation, first_block, blocks, data[_REQUEST.size :])


def encode_storage_completion(completion: StorageCompletion) -> bytes:
    """The data of a PortData(DATA) of a STORAGE."""
    return _COMPLETION.pack(completion.tag, completion.error) + completion.data


def decode_storage_completion(data: bytes) -> StorageCompletion:
    """The completion in the data of a PortData; MalformedMessage."""
    tag, error = _unpack(_COMPLETION, data)
    return StorageCompletion(tag, error, data[_COMPLETION.size :])


def encode_host_request(port: int, request: HostSubmit | HostUnlink) -> bytes:
    """An output() to a device from outside."""
    if isinstance(request, HostUnlink):
        return _UNLINK.pack(port, HostOperation.UNLINK, request.tag)
    fields = (request.tag, request.endpoint, request.inbound, request.setup, request.length)
    return _SUBMIT.pack(port, HostOperation.SUBMIT, *fields) + request.data


def decode_host_request(data: bytes) -> HostSubmit | HostUnlink:
    """The request in an output(), port included; MalformedMessage."""
    if _enum(HostOperation, data[1:]) is HostOperation.UNLINK:
        return HostUnlink(_unpack(_UNLINK, data)[2])
    _, _, tag, endpoint, inbound, setup, length = _unpack(_SUBMIT, data)
    return HostSubmit(tag, endpoint, bool(inbound), setup, length, data[_SUBMIT.size :])


def encode_host_completion(completion: HostCompletion) -> bytes:
    """The data of a PortData(DATA) of a HOST."""
    return _HOST_COMPLETION.pack(completion.tag, completion.status, completion.actual) + completion.data


def decode_host_completion(data: bytes) -> HostCompletion:
    """The completion in the data of a PortData; MalformedMessage."""
    tag, status, actual = _unpack(_HOST_COMPLETION, data)
    return HostCompletion(tag, status, actual, data[_HOST_COMPLETION.size :])


def _port(data: bytes) -> tuple[int, bytes]:
    if not data or not 1 <= data[0] <= PORTS:
        raise MalformedMessage(f"no port from 1 to {PORTS} in {data[:8].hex() or 'nothing'}")
    return data[0], data[1:]


def _enum(cls: type[E], data: bytes) -> E:
    try:
        return cls(data[0])
    except (IndexError, ValueError) as error:
        raise MalformedMessage(f"no {cls.__name__} in {data[:1].hex() or 'nothing'}") from error


def _unpack(row: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) < row.size:
        raise MalformedMessage(f"{len(data)} bytes where {row.size} belong")
    return row.unpack_from(data)


def _storage(data: bytes) -> StorageDescription:
    if len(data) != _STORAGE.size:
        raise MalformedMessage(f"{len(data)} bytes describe a disk, not {_STORAGE.size}")
    size, block_size, read_only = _unpack(_STORAGE, data)
    if block_size not in BLOCK_SIZES or size % block_size or not 0 < size // block_size <= MOST_BLOCKS:
        raise MalformedMessage(f"a disk of {size} bytes in blocks of {block_size}")
    return StorageDescription(size, block_size, bool(read_only))


def _host(data: bytes) -> HostDescription:
    if not data or data[0] not in tuple(HostSpeed):
        raise MalformedMessage(f"no speed in {data[:1].hex() or 'nothing'}")
    rest = data[1:]
    found = []
    for _ in range(2):
        (length,) = _unpack(_LENGTH, rest)
        found.append(rest[_LENGTH.size : _LENGTH.size + length])
        if len(found[-1]) != length:
            raise MalformedMessage(f"a descriptor of {len(found[-1])} bytes, not {length}")
        rest = rest[_LENGTH.size + length :]
    if rest:
        raise MalformedMessage(f"{len(rest)} bytes behind the descriptors")
    return HostDescription(data[0], *found)
