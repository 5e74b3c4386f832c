"""The codec: every message comes back as it was, and bytes that are no message are refused."""

from __future__ import annotations

import typing
from contextlib import suppress
from enum import IntEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from machine import codec
from machine.codec import MAX_PAYLOAD_BYTES, MESSAGES, decode, decode_frame, encode, encode_header
from machine.errors import LocalWireError, RemoteWireError
from machine.frame import Frame, class_of
from machine.message import FifoData, Message, MessageClass, Status, TimerArm
from machine.wire.v1 import frame_pb2


def values_of(hint: object, bits: int) -> st.SearchStrategy[object]:
    """Values that a field of this type may have; numbers are as wide as the wire has them."""
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        return st.none() | values_of(arguments[0], bits)
    if typing.get_origin(hint) is tuple:
        values = messages_of(arguments[0]) if arguments[0] in codec.NESTED else values_of(arguments[0], bits)
        return st.lists(values, max_size=4).map(tuple)
    assert isinstance(hint, type)
    if issubclass(hint, IntEnum):
        return st.sampled_from(list(hint))
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(0, 2**bits - 1)
    return st.binary(max_size=30) if hint is bytes else st.text(max_size=30)


def messages_of(cls: type) -> st.SearchStrategy[typing.Any]:
    """Values of a message, or of a part of one nested in it, read off its fields."""
    wire = codec.NESTED.get(cls)
    descriptor = (wire or codec.descriptor_of(codec.type_of(cls))).DESCRIPTOR
    wide = {f.name: 64 if f.type in (f.TYPE_UINT64, f.TYPE_FIXED64) else 32 for f in descriptor.fields}
    return st.builds(cls, **{f.name: values_of(f.type, wide[f.name]) for f in fields(cls)})


any_message = st.sampled_from([cls for cls, _ in MESSAGES.values()]).flatmap(messages_of)


@pytest.mark.parametrize("cls", [cls for cls, _ in MESSAGES.values()], ids=lambda cls: cls.__name__)
def test_every_message_comes_back(cls: type) -> None:
    @given(message=messages_of(cls))
    @settings(max_examples=15, deadline=None)
    def check(message: Message) -> None:
        assert decode(codec.type_of(cls), encode(message)) == message

    check()


@given(message=any_message, data=st.data())
@settings(max_examples=150, deadline=None)
def test_cut_or_lengthened_or_garbled_bytes_are_a_message_or_refused(message: Message, data: st.DataObject) -> None:
    number = codec.type_of(type(message))
    payload = bytearray(encode(message))
    for _ in range(data.draw(st.integers(0, 3))):
        if payload:
            payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))]) + data.draw(st.binary(max_size=8))
    with suppress(RemoteWireError):
        decode(number, cut)


@given(number=st.sampled_from(list(MESSAGES)), payload=st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_noise_is_a_message_or_refused(number: int, payload: bytes) -> None:
    with suppress(RemoteWireError):
        decode(number, payload)


@given(
    frame=st.builds(
        Frame,
        type=st.sampled_from(list(MESSAGES)),
        source=st.integers(0, 2**32 - 1),
        target=st.integers(0, 2**32 - 1),
        icount=st.integers(0, 2**64 - 1),
        payload=st.binary(max_size=20),
        seq=st.integers(0, 2**64 - 1),
    )
)
@settings(deadline=None)
def test_every_header_comes_back(frame: Frame) -> None:
    assert decode_frame(encode_header(frame), frame.payload) == frame


numbers = st.sampled_from((0, 1, 9, 17, 2**32, 2**64 - 1)) | st.integers(0, 2**64 - 1)
nodes = st.integers(0, 300)
pieces = st.builds(
    lambda icount, seq, kind, source, target, keep: b"".join(
        part.SerializeToString()
        for part, kept in zip(
            (
                frame_pb2.Header(icount=icount, seq=seq),
                frame_pb2.Header(type=kind),
                frame_pb2.Header(source=source, target=target),
            ),
            keep,
            strict=True,
        )
        if kept
    ),
    numbers, numbers, st.integers(0, 300), nodes, nodes, st.tuples(st.booleans(), st.booleans(), st.booleans()),
)  # fmt: skip
"""Parts of headers; a row of them has fields twice and in any order, which protobuf allows."""
zeros = st.sampled_from(
    (b"\x18\x00", b"\x20\x00", b"\x09" + bytes(8), b"\x11" + bytes(8), b"\x20\x80\x00", b"\x30\x07")
)


@given(icount=numbers, seq=numbers, kind=st.integers(0, 300), source=nodes, target=nodes)
def test_a_header_is_what_protobuf_writes(icount: int, seq: int, kind: int, source: int, target: int) -> None:
    wire = frame_pb2.Header(
        icount=icount, seq=seq, type=typing.cast("frame_pb2.MessageType", kind), source=source, target=target
    )
    assert encode_header(Frame(kind, source, target, icount, b"", seq)) == wire.SerializeToString()


@given(header=st.lists(pieces | zeros, max_size=4).map(b"".join))
@settings(max_examples=500)
def test_a_header_is_read_as_protobuf_reads_it(header: bytes) -> None:
    wire = frame_pb2.Header.FromString(header)
    assert decode_frame(header, b"x") == Frame(int(wire.type), wire.source, wire.target, wire.icount, b"x", wire.seq)


@given(header=st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_garbled_header_is_a_frame_or_refused(header: bytes) -> None:
    with suppress(RemoteWireError):
        decode_frame(header, b"")


def test_an_unknown_type_is_refused_by_number() -> None:
    with pytest.raises(RemoteWireError, match="unknown message type 99"):
        decode(99, b"")


def test_an_enum_value_that_is_not_in_the_protocol_is_refused() -> None:
    with pytest.raises(RemoteWireError, match="bad status"):
        decode(codec.type_of(Status), b"\x08\x63")


def test_what_does_not_fit_its_field_is_our_own_fault() -> None:
    with pytest.raises(LocalWireError, match="cannot encode TimerArm"):
        encode(TimerArm(1, -1))
    with pytest.raises(LocalWireError, match="too large"):
        encode(FifoData(bytes(MAX_PAYLOAD_BYTES)))
    with pytest.raises(RemoteWireError, match="too large"):
        decode_frame(b"", bytes(MAX_PAYLOAD_BYTES + 1))


def test_the_table_and_the_schema_name_the_same_types() -> None:
    by_name = {value.name: value.number for value in frame_pb2.MessageType.DESCRIPTOR.values if value.number}
    assert by_name == {f"MESSAGE_TYPE_{codec.name_of(number).upper()}": number for number in MESSAGES}


def test_the_class_of_a_message_is_the_range_of_its_number() -> None:
    assert {class_of(n) for n in MESSAGES if n < 32} == {MessageClass.CONTROL}
    assert {class_of(n) for n in MESSAGES if 32 <= n < 64} == {MessageClass.INPUT}
    assert {class_of(n) for n in MESSAGES if n >= 64} == {MessageClass.DERIVED}
