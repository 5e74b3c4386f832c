"""The network card says what it is, brings frames to the guest whole and in order, and counts those it loses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.nic import SPEC
from devices.nic import registers as n
from devices.nic.frames import pack_frame
from devices.nic.model import create_nic
from devices.nic.state import RECEIVE_LIMIT, RECEIVE_ROOM
from devices.virtio import registers as r
from machine.errors import BoardError
from machine.message import HostEvent
from tests.harness.nic_driver import MAC, Card, frame

FRAME = st.binary(min_size=n.SHORTEST_FRAME, max_size=200)


def test_the_card_says_what_it_is() -> None:
    card = Card()
    assert card.load(r.DEVICE_ID) == 1
    assert bytes(card.load(r.CONFIG + i, 1) for i in range(6)) == MAC
    assert card.load(r.CONFIG + 6, 2) == n.STATUS_LINK_UP
    assert card.load(r.CONFIG + 10, 2) == 1500
    assert card.load(r.CONFIG + 12) == 0
    assert card.offered() & ~r.F_TRANSPORT == n.F_MAC | n.F_STATUS | n.F_MTU | n.F_MRG_RXBUF


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mac": "52:54:00:12:34"}, "six bytes"),
        ({"mac": "52:54:00:12:34:5g"}, "six bytes"),
        ({"mac": "52:54:00:12:34:56:78"}, "six bytes"),
        ({"mac": "53:54:00:12:34:56"}, "address of one card"),
        ({"mac": "00:00:00:00:00:00"}, "address of one card"),
        ({"mac": 5}, "not a string"),
        ({"mtu": 1500}, "unknown option .known: mac"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, str | int], says: str) -> None:
    with pytest.raises(BoardError, match=rf"^options\.m.*{says}"):
        create_nic(options)


def test_the_address_is_the_boards() -> None:
    assert create_nic({"mac": "52:54:00:AB:cd:ef"}).state.mac == MAC
    assert SPEC.create({}).state.mac == bytes.fromhex("525400123456")


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(st.lists(FRAME, min_size=1, max_size=6), max_size=6), merge=st.booleans())
def test_frames_from_outside_arrive_whole_and_in_order(messages: list[list[bytes]], merge: bool) -> None:
    card = Card(n.F_MRG_RXBUF if merge else 0)
    card.offer_buffers(64, 1530)
    for message in messages:
        card.come(*message)
    assert card.got() == [one for message in messages for one in message]
    assert card.interrupted() == (r.INTERRUPT_QUEUE if messages else 0)


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(FRAME, max_size=8), sizes=st.lists(st.integers(12, 90), min_size=40, max_size=60))
def test_a_frame_longer_than_a_buffer_goes_into_several(frames: list[bytes], sizes: list[int]) -> None:
    card = Card(n.F_MRG_RXBUF)
    for size in sizes:
        card.rx.add(writable=[size])
    for one in frames:
        card.come(one)
    got = card.got()
    assert got == frames[: len(got)]
    assert len(card.nic.state.received) == len(frames) - len(got)
    card.offer_buffers(40)
    card.rx.kick()
    card.flush()
    assert got + card.got() == frames


def test_buffers_that_are_too_few_for_a_frame_are_not_lost() -> None:
    card = Card(n.F_MRG_RXBUF)
    card.offer_buffers(2, 50)
    card.come(frame(200, 1))
    assert card.got() == []
    card.offer_buffers(1)
    card.rx.kick()
    card.flush()
    assert [written for _, written in card.rx.returned()] == [50, 50, 112]


def test_a_burst_into_neighbouring_buffers_is_one_store_and_one_interrupt() -> None:
    card = Card()
    card.offer_buffers(64)
    card.context.writes.clear()
    card.come(*(frame(1514, i) for i in range(40)))
    assert len(card.context.writes) <= 3
    assert card.got() == [frame(1514, i) for i in range(40)]


def test_a_frame_for_which_there_is_no_buffer_waits() -> None:
    card = Card()
    card.come(frame(60, 1), frame(60, 2))
    assert card.got() == []
    card.offer_buffers(1)
    assert card.rx.wants_kick(0)
    card.rx.kick()
    card.flush()
    assert card.got() == [frame(60, 1)]
    before = card.rx.available
    card.offer_buffers(2)
    assert card.rx.wants_kick(before)
    card.rx.kick()
    card.flush()
    assert card.got() == [frame(60, 2)]
    assert card.nic.state.received_bytes == 0


def test_buffers_that_nothing_waits_for_are_not_asked_about() -> None:
    card = Card()
    card.offer_buffers(4)
    card.rx.kick()
    card.flush()
    card.come(frame(60))
    before = card.rx.available
    card.offer_buffers(1)
    assert not card.rx.wants_kick(before)


def test_the_backend_is_read_as_long_as_there_is_room_and_what_it_says_beyond_is_lost() -> None:
    card = Card()
    assert card.nic.input_room() == RECEIVE_ROOM
    one = frame(1514)
    while card.nic.input_room():
        card.come(*[one] * 10)
    held = len(card.nic.state.received)
    assert RECEIVE_ROOM <= held * 1516 < RECEIVE_ROOM + 10 * 1516
    for _ in range(20):
        card.come(*[one] * 10)
    assert card.nic.state.received_bytes <= RECEIVE_LIMIT
    kept = len(card.nic.state.received)
    assert card.nic.state.dropped_received == held + 200 - kept
    for _ in range(kept):
        card.offer_buffers(1)
        card.rx.kick()
        card.flush()
        assert card.got() == [one]
    assert card.nic.input_room() == RECEIVE_ROOM


@pytest.mark.parametrize("size", [0, 1, n.SHORTEST_FRAME - 1, n.LONGEST_FRAME + 1, 9014, 0xFFFF])
def test_a_frame_that_is_none_is_lost_and_counted_both_ways(size: int) -> None:
    card = Card()
    card.offer_buffers(4)
    card.come(frame(60), frame(size), frame(70))
    assert card.got() == [frame(60), frame(70)]
    assert card.nic.state.dropped_received == 1
    card.send(frame(60), frame(size), frame(70))
    assert card.sent() == [frame(60), frame(70)]
    assert card.nic.state.dropped_transmit == 1
    assert len(card.tx.returned()) == 3


@pytest.mark.parametrize("size", [n.SHORTEST_FRAME, 60, 1514, n.LONGEST_FRAME])
def test_a_frame_of_a_length_that_there_is_goes_both_ways(size: int) -> None:
    card = Card()
    card.offer_buffers(4)
    card.come(frame(size, 7))
    card.send(frame(size, 8))
    assert (card.got(), card.sent()) == ([frame(size, 7)], [frame(size, 8)])


def test_a_message_that_is_cut_off_ends_with_its_last_whole_frame() -> None:
    card = Card()
    card.offer_buffers(4)
    card.cpu.host_input(HostEvent.DATA, pack_frame(frame(60)) + b"\x00\x40" + bytes(20))
    card.cpu.host_input(HostEvent.DATA, b"\x00")
    assert card.got() == [frame(60)]


def test_without_merging_a_frame_that_does_not_fit_its_buffer_is_lost() -> None:
    card = Card(0)
    card.rx.add(writable=[50])
    card.offer_buffers(1)
    card.come(frame(60), frame(20, 3))
    assert card.got() == [frame(20, 3)]
    assert card.nic.state.dropped_received == 1


def test_a_receive_buffer_without_room_needs_a_reset() -> None:
    card = Card()
    card.rx.add([b"readable"])
    card.come(frame(60))
    assert card.status() & r.STATUS_NEEDS_RESET


def test_the_cable_is_seen_to_go_and_to_come() -> None:
    card = Card()
    generation = card.load(r.CONFIG_GENERATION)
    card.cpu.host_input(HostEvent.CLOSED)
    assert card.interrupted() == r.INTERRUPT_CONFIG
    assert card.load(r.CONFIG + 6, 2) == 0
    assert card.load(r.CONFIG_GENERATION) != generation
    card.cpu.host_input(HostEvent.CLOSED)
    assert card.interrupted() == 0
    card.cpu.host_input(HostEvent.OPENED)
    assert card.interrupted() == r.INTERRUPT_CONFIG
    assert card.load(r.CONFIG + 6, 2) == n.STATUS_LINK_UP


def test_without_a_cable_nothing_leaves_and_nothing_comes() -> None:
    card = Card()
    card.offer_buffers(4)
    card.cpu.host_input(HostEvent.CLOSED)
    card.send(frame(60))
    card.come(frame(61))
    assert card.context.outputs == []
    assert card.got() == []
    assert card.nic.state.dropped_transmit == 1
    assert len(card.tx.returned()) == 1
    card.cpu.host_input(HostEvent.OPENED)
    assert card.got() == [frame(61)]


def test_frames_on_their_way_are_lost_when_the_driver_resets_the_card() -> None:
    card = Card()
    card.context.takes = 0
    card.send(frame(60), frame(60))
    card.come(frame(70))
    card.store(r.STATUS, 0)
    card.context.takes = None
    card.start()
    card.offer_buffers(2)
    card.come(frame(80, 1))
    card.send(frame(80, 2))
    assert card.got() == [frame(80, 1)]
    assert card.sent() == [frame(80, 2)]
    assert (card.nic.state.dropped_received, card.nic.state.dropped_transmit) == (1, 2)


def test_a_restart_of_the_machine_leaves_the_cable_and_the_address_as_they_are() -> None:
    card = Card()
    card.cpu.host_input(HostEvent.CLOSED)
    card.cpu.reset()
    assert card.load(r.CONFIG + 6, 2) == 0
    assert not card.nic.state.link
    assert card.nic.state.mac == MAC
    assert not card.cpu.line()
