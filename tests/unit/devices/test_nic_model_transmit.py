"""The network card gives its backend what the guest sends: gathered, whole, in order, as fast as it is taken."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.nic import registers as n
from devices.nic.frames import MESSAGE_BYTES, MESSAGE_FRAMES, pack_frame, split_frames, whole_frames
from devices.virtio import registers as r
from machine.message import HostEvent
from tests.harness.nic_driver import HEADER, Card, frame

FRAME = st.binary(min_size=n.SHORTEST_FRAME, max_size=200)


def test_what_is_sent_while_the_device_is_told_nothing_goes_in_one_message() -> None:
    card = Card()
    for i in range(5):
        card.tx.add([HEADER, frame(60, i)[:10], frame(60, i)[10:]])
        card.tx.kick()
    before = card.cpu.calls
    card.flush()
    assert card.cpu.calls == before + 1
    assert len(card.context.outputs) == 1
    assert card.sent() == [frame(60, i) for i in range(5)]


def test_a_message_holds_no_more_than_a_message_may() -> None:
    card = Card()
    card.send(*(frame(1514) for _ in range(100)), *(frame(14) for _ in range(100)))
    assert len(card.sent()) == 200
    assert all(len(data) <= MESSAGE_BYTES for data in card.context.outputs)
    assert all(len(list(split_frames(data))) <= MESSAGE_FRAMES for data in card.context.outputs)
    # 43 of the long ones fill a message; the third holds 14 of them and 50 short ones.
    assert [len(list(split_frames(data))) for data in card.context.outputs] == [43, 43, 64, 50]


@settings(max_examples=80, deadline=None)
@given(
    frames=st.lists(FRAME, min_size=1, max_size=30),
    doses=st.lists(st.integers(0, 1500), max_size=10),
    batch=st.integers(1, 10),
)
def test_a_slow_backend_gets_every_frame_once_and_in_order(frames: list[bytes], doses: list[int], batch: int) -> None:
    card = Card()
    card.context.takes = 0
    for at in range(0, len(frames), batch):
        card.send(*frames[at : at + batch])
    taken: list[bytes] = []
    for dose in [*doses, None]:
        card.context.takes = dose
        card.context.written.clear()
        card.cpu.host_input(HostEvent.WRITABLE)
        written = bytes(card.context.written)
        taken += split_frames(written[: whole_frames(written, len(written))])
    assert taken == frames
    assert len(card.tx.returned()) == len(frames)
    assert not card.nic.state.blocked


def test_while_the_backend_is_full_the_guests_queue_fills() -> None:
    card = Card(sizes=(16, 16))
    card.context.takes = 0
    card.send(*[frame(1514)] * 8)
    assert len(card.tx.returned()) == 8
    card.send(*[frame(1514)] * 16)
    assert card.tx.returned() == []
    assert len(card.context.outputs) == 1
    card.context.takes = None
    card.cpu.host_input(HostEvent.WRITABLE)
    assert len(card.tx.returned()) == 16
    assert len(card.sent()) == 24


def test_a_backend_that_fails_loses_frames_and_the_guest_goes_on() -> None:
    card = Card()
    card.context.broken = True
    card.send(frame(60), frame(60))
    assert card.nic.state.dropped_transmit == 2
    assert len(card.tx.returned()) == 2
    card.context.broken = False
    card.send(frame(61))
    assert card.sent() == [frame(61)]


@pytest.mark.parametrize("header", [struct.pack("<BB", 1, 0), struct.pack("<BB", 0, 1), struct.pack("<BB", 0, 0x80)])
def test_a_frame_that_wants_an_offload_is_not_sent(header: bytes) -> None:
    card = Card()
    card.tx.add([header.ljust(12, b"\0"), frame(60)])
    card.tx.kick()
    card.flush()
    assert card.sent() == []
    assert card.nic.state.dropped_transmit == 1


def test_a_transmit_buffer_without_a_header_needs_a_reset() -> None:
    card = Card()
    card.tx.add([bytes(11)])
    card.tx.kick()
    card.flush()
    assert card.status() & r.STATUS_NEEDS_RESET


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 300))
def test_frames_in_a_message_are_found_again(frames: list[bytes], taken: int) -> None:
    data = b"".join(map(pack_frame, frames))
    assert list(split_frames(data)) == frames
    whole = whole_frames(data, min(taken, len(data)))
    assert whole <= taken
    count = len(list(split_frames(data[:whole])))
    assert b"".join(map(pack_frame, frames[:count])) == data[:whole]
    assert count == len(frames) or whole + 2 + len(frames[count]) > min(taken, len(data))


def test_interrupts_for_what_was_sent_come_when_the_driver_asks() -> None:
    card = Card()
    card.tx.ask_interrupt_at(0x7FFF)
    card.send(*[frame(60)] * 20)
    assert card.interrupted() == 0
    card.tx.ask_interrupt_at(20)
    card.send(frame(60))
    assert card.interrupted() == r.INTERRUPT_QUEUE
