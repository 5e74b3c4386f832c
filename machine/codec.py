"""Message <-> payload bytes and header <-> header bytes; the only importer of the generated wire code.

Each row of MESSAGES pairs a type number with the struct and the protobuf class of one message.
The conversion is read off the message's fields when one is first met: the names are the same on both sides, and no
process meets all.
"""

from __future__ import annotations

import struct
import typing
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Final

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from machine import message as m
from machine.errors import LocalWireError, RemoteWireError
from machine.frame import Frame
from machine.message_base import MessageStruct
from machine.wire.v1 import bus_pb2, debug_pb2, frame_pb2, host_pb2, rebuild_pb2, session_pb2, state_pb2, time_pb2

MAX_PAYLOAD_BYTES: Final = 1 << 24
"""A larger payload is refused on both sides: no message of the protocol needs it."""

MESSAGES: Final[Mapping[int, tuple[type[m.Message], type[ProtobufMessage]]]] = {
    1: (m.Hello, session_pb2.Hello),
    2: (m.Welcome, session_pb2.Welcome),
    3: (m.Refused, session_pb2.Refused),
    4: (m.Ready, session_pb2.Ready),
    5: (m.Fault, session_pb2.Fault),
    6: (m.Shutdown, session_pb2.Shutdown),
    7: (m.Save, state_pb2.Save),
    8: (m.Saved, state_pb2.Saved),
    9: (m.Load, state_pb2.Load),
    10: (m.Proceed, state_pb2.Proceed),
    14: (m.DmaRead, bus_pb2.DmaRead),
    15: (m.DmaData, bus_pb2.DmaData),
    11: (m.Checkpoint, rebuild_pb2.Checkpoint),
    12: (m.Present, rebuild_pb2.Present),
    13: (m.MemoryMoved, rebuild_pb2.MemoryMoved),
    16: (m.Sync, time_pb2.Sync),
    17: (m.Grant, time_pb2.Grant),
    18: (m.Kick, time_pb2.Kick),
    19: (m.Credit, time_pb2.Credit),
    20: (m.Stopped, time_pb2.Stopped),
    21: (m.Pause, time_pb2.Pause),
    22: (m.Paused, time_pb2.Paused),
    23: (m.Settle, time_pb2.Settle),
    24: (m.StatusRequest, session_pb2.StatusRequest),
    25: (m.Status, session_pb2.Status),
    26: (m.Quit, session_pb2.Quit),
    27: (m.ChangeBackend, session_pb2.ChangeBackend),
    28: (m.BackendChanged, session_pb2.BackendChanged),
    29: (m.ProcessEnded, session_pb2.ProcessEnded),
    30: (m.SavedPages, state_pb2.SavedPages),
    31: (m.PagesTaken, state_pb2.PagesTaken),
    32: (m.SyncPoint, time_pb2.SyncPoint),
    33: (m.Reset, time_pb2.Reset),
    34: (m.HostInput, host_pb2.HostInput),
    35: (m.BackendResult, host_pb2.BackendResult),
    36: (m.ClockReading, host_pb2.ClockReading),
    37: (m.StopRequest, time_pb2.StopRequest),
    38: (m.StateRequest, time_pb2.StateRequest),
    39: (m.End, time_pb2.End),
    40: (m.Entropy, host_pb2.Entropy),
    41: (m.Rouse, debug_pb2.Rouse),
    42: (m.DebuggerWrite, debug_pb2.DebuggerWrite),
    64: (m.MmioAccess, bus_pb2.MmioAccess),
    65: (m.Done, bus_pb2.Done),
    66: (m.IrqLevel, bus_pb2.IrqLevel),
    67: (m.RegisterMap, bus_pb2.RegisterMap),
    68: (m.FifoData, bus_pb2.FifoData),
    69: (m.DmaWrite, bus_pb2.DmaWrite),
    70: (m.TimerArm, bus_pb2.TimerArm),
    71: (m.TimerCancel, bus_pb2.TimerCancel),
    72: (m.TimerExpired, bus_pb2.TimerExpired),
    73: (m.HostOutput, host_pb2.HostOutput),
    74: (m.ClockRead, host_pb2.ClockRead),
    75: (m.Digest, time_pb2.Digest),
    76: (m.PowerOff, time_pb2.PowerOff),
    77: (m.EntropyRead, host_pb2.EntropyRead),
}

NESTED: Final[Mapping[type[MessageStruct], type[ProtobufMessage]]] = {
    m.Access: bus_pb2.Access,
    m.Register: bus_pb2.Register,
    m.NodeStatus: session_pb2.NodeStatus,
    m.StateVersion: session_pb2.StateVersion,
}


_Field = tuple[str, Callable[[object], object] | None, Callable[[object], object] | None, bool]
"""How one field crosses: its name, what lowers it towards protobuf, what lifts it back, neither for the plain ones, and
whether it may be absent.  No class: each message unpacks its own, and Python does that fastest with tuples."""


def _plan(cls: type[MessageStruct]) -> tuple[_Field, ...]:
    """The crossing of each field of a message or of a part of one."""
    return tuple(_plan_field(field.name, field.type) for field in msgspec.structs.fields(cls))


def _plan_field(name: str, hint: object) -> _Field:
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        return name, None, None, True
    if typing.get_origin(hint) is tuple:
        return _nested(name, arguments[0]) if arguments[0] in NESTED else (name, None, _row, False)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return name, None, _enum_lifter(hint), False
    return name, None, None, False


def _row(items: object) -> object:
    return tuple(typing.cast("list[object]", items))


def _enum_lifter(enum: type[IntEnum]) -> Callable[[object], object]:
    return lambda value: enum(typing.cast("int", value))


def _nested(name: str, cls: type[MessageStruct]) -> _Field:
    plan = _plan(cls)
    wire_cls = NESTED[cls]

    def lower(items: object) -> object:
        return [_lower(item, plan, wire_cls) for item in typing.cast("tuple[object, ...]", items)]

    def lift(items: object) -> object:
        return tuple(_lift(item, plan, cls) for item in typing.cast("list[object]", items))

    return name, lower, lift, False


def _lower(item: object, plan: tuple[_Field, ...], wire_cls: type[ProtobufMessage]) -> ProtobufMessage:
    values = {}
    for name, lower, _, _ in plan:
        value = getattr(item, name)
        if value is not None:
            values[name] = lower(value) if lower else value
    return wire_cls(**values)


def _lift(wire: object, plan: tuple[_Field, ...], cls: type) -> object:
    values: list[object] = []
    for name, _, lift, optional in plan:
        if optional and not typing.cast("ProtobufMessage", wire).HasField(name):
            values.append(None)
            continue
        value = getattr(wire, name)
        values.append(lift(value) if lift else value)
    return cls(*values)


_NUMBERS: Final = {cls: number for number, (cls, _) in MESSAGES.items()}


class _Plans(dict[int, tuple[_Field, ...]]):
    """The crossing of each message type's fields, made when it is asked for."""

    def __missing__(self, number: int) -> tuple[_Field, ...]:
        self[number] = plan = _plan(MESSAGES[number][0])
        return plan


_PLANS: Final = _Plans()


def type_of(cls: type[m.Message]) -> int:
    """The type number of a message class."""
    return _NUMBERS[cls]


def name_of(message_type: int) -> str:
    """The message's name as `dejavm dump` prints it, e.g. `mmio_access`."""
    row = MESSAGES.get(message_type)
    if row is None:
        return f"type_{message_type}"
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in row[0].__name__).lstrip("_")


def descriptor_of(message_type: int) -> type[ProtobufMessage]:
    """The protobuf class of a message type, for the schemas a log embeds."""
    return MESSAGES[message_type][1]


def encode(message: m.Message) -> bytes:
    """The payload bytes of a message; LocalWireError if a value does not fit its field."""
    number = _NUMBERS[type(message)]
    try:
        payload = _lower(message, _PLANS[number], MESSAGES[number][1]).SerializeToString()
    except (ValueError, TypeError) as error:
        raise LocalWireError(f"cannot encode {message!r}: {error}") from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LocalWireError(f"{name_of(number)} of {len(payload)} bytes is too large to send")
    return payload


def decode(message_type: int, payload: bytes) -> m.Message:
    """The message in a payload; RemoteWireError if there is none."""
    row = MESSAGES.get(message_type)
    if row is None:
        raise RemoteWireError(f"unknown message type {message_type}")
    try:
        wire = row[1].FromString(payload)
        return typing.cast("m.Message", _lift(wire, _PLANS[message_type], row[0]))
    except (DecodeError, ValueError, TypeError) as error:
        raise RemoteWireError(f"bad {name_of(message_type)}: {error}") from error


def encode_header(frame: Frame) -> bytes:
    """The header bytes of a frame, as protobuf writes them: the fixed numbers, then what few headers differ in."""
    rest = _rest_of(frame.type, frame.source, frame.target)
    if not frame.icount:
        return frame_pb2.Header(seq=frame.seq).SerializeToString() + rest
    if not frame.seq:
        return _ICOUNT.pack(_ICOUNT_TAG, frame.icount) + rest
    return _STAMP.pack(_ICOUNT_TAG, frame.icount, _SEQ_TAG, frame.seq) + rest


def decode_frame(header: bytes, payload: bytes) -> Frame:
    """The frame in two ZeroMQ parts; RemoteWireError if the header is none or the payload too large."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RemoteWireError(f"payload of {len(payload)} bytes is too large")
    seq = 0
    if _ICOUNT.size < len(header) <= _SHORT_BYTES and header[0] == _ICOUNT_TAG:
        if header[_ICOUNT.size] == _SEQ_TAG and len(header) >= _STAMP.size:
            _, icount, _, seq = _STAMP.unpack_from(header)
            fields = _fields_of(header[_STAMP.size :])
        else:
            _, icount = _ICOUNT.unpack_from(header)
            fields = _fields_of(header[_ICOUNT.size :])
        if fields is not None:
            return Frame(fields[0], fields[1], fields[2], icount, payload, seq)
    try:
        wire = frame_pb2.Header.FromString(header)
    except DecodeError as error:
        raise RemoteWireError(f"bad header: {error}") from error
    return Frame(int(wire.type), wire.source, wire.target, wire.icount, payload, wire.seq)


# A machine has few kinds of headers, and millions of each: what does not change is asked of protobuf once.  What peers
# have sent is remembered in a bounded number of short pieces only.
_ICOUNT: Final = struct.Struct("<BQ")
_STAMP: Final = struct.Struct("<BQBQ")
_ICOUNT_TAG: Final = frame_pb2.Header(icount=1).SerializeToString()[0]
_SEQ_TAG: Final = frame_pb2.Header(seq=1).SerializeToString()[0]
_SHORT_BYTES: Final = 64


@lru_cache(maxsize=4096)
def _rest_of(kind: int, source: int, target: int) -> bytes:
    """A header's bytes behind its numbers."""
    header = frame_pb2.Header(type=typing.cast("frame_pb2.MessageType", kind), source=source, target=target)
    return header.SerializeToString()


@lru_cache(maxsize=4096)
def _fields_of(rest: bytes) -> tuple[int, int, int] | None:
    """Type, source and target in such bytes; None if protobuf would not have written them just so."""
    try:
        wire = frame_pb2.Header.FromString(rest)
    except DecodeError:
        return None
    fields = int(wire.type), wire.source, wire.target
    return fields if _rest_of(*fields) == rest else None
