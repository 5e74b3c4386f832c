"""gdb's packets: framing, escapes, checksums, interrupts, in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu_node.gdbstub.packets import INTERRUPT, LARGEST, NACK, Packet, PacketReader, checksum, escape, frame, unescape
from machine.errors import RemoteWireError


def all_of(reader: PacketReader) -> list[bytes]:
    """What the reader has."""
    found = []
    while (item := reader.take()) is not None:
        found.append(item)
    return found


@given(st.lists(st.binary(max_size=200), max_size=5), st.data())
def test_packets_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(body) for body in bodies)
    reader, found = PacketReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.feed(stream[:size])
        stream = stream[size:]
        found += all_of(reader)
    assert found == bodies
    assert all(isinstance(item, Packet) for item in found)


@given(st.binary())
def test_an_escaped_body_has_no_byte_that_means_something(body: bytes) -> None:
    assert not set(escape(body)) & set(b"#$*")
    assert unescape(escape(body)) == body


@given(st.binary(max_size=400))
def test_anything_can_come_and_nothing_breaks(noise: bytes) -> None:
    reader = PacketReader()
    reader.feed(noise)
    for item in all_of(reader):
        assert isinstance(item, bytes)


def test_a_damaged_packet_is_asked_for_again_until_both_sides_trust_the_line() -> None:
    reader = PacketReader()
    reader.feed(b"$g#00")
    assert all_of(reader) == [NACK]
    reader.acknowledges = False
    reader.feed(b"$g#00")
    assert all_of(reader) == [b"g"]


def test_an_interrupt_is_found_between_and_before_packets() -> None:
    reader = PacketReader()
    reader.feed(INTERRUPT + frame(b"g"))
    assert reader.take_interrupt()
    assert not reader.take_interrupt()
    assert all_of(reader) == [b"g"]


def test_a_packet_without_an_end_is_no_gdb() -> None:
    reader = PacketReader()
    with pytest.raises(RemoteWireError, match="without an end"):
        reader.feed(b"$" + bytes(2 * LARGEST + 3))


def test_the_checksum_is_the_sum_of_the_bytes() -> None:
    assert checksum(b"vCont;c") == 0xA8
