"""Datagrams from and to real sockets."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from devices.backends.char.udp import PIECE_BYTES, UdpBackend
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.unit.devices.char_lines import PATIENCE_S, Opened, opened, unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.host_loop import HostLoop

__all__ = ["opened"]


def receiver(host: str = "127.0.0.1") -> socket.socket:
    peer = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    peer.settimeout(PATIENCE_S)
    peer.bind((host, 0))
    return peer


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with receiver() as peer:
        yield peer


def port(peer: socket.socket) -> int:
    return int(peer.getsockname()[1])


def ours(loop: HostLoop) -> int:
    assert isinstance(loop.backend, UdpBackend)
    return loop.backend.port


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_output_is_datagrams_and_datagrams_are_input(opened: Opened, peer: socket.socket, host: str) -> None:
    loop = opened(f"udp:{host}:{port(peer)}")
    assert loop.backend.write(b"hello") == BackendResult(5)
    data, sender = peer.recvfrom(99)
    assert data == b"hello"
    peer.sendto(b"one", sender)
    peer.sendto(b"", sender)
    peer.sendto(b"two", sender)
    loop.until_received(b"onetwo")
    assert set(loop.kinds()) == {HostEvent.DATA}


def test_much_output_goes_in_datagrams_that_fit_a_frame(opened: Opened, peer: socket.socket) -> None:
    loop = opened(f"udp:127.0.0.1:{port(peer)}")
    data = bytes(range(250)) * 20
    assert loop.backend.write(data) == BackendResult(len(data))
    got = [peer.recv(9999) for _ in range(-(-len(data) // PIECE_BYTES))]
    assert b"".join(got) == data
    assert max(map(len, got)) == PIECE_BYTES


def test_our_own_address_may_be_chosen(opened: Opened, peer: socket.socket) -> None:
    chosen = unused_port(socket.SOCK_DGRAM)
    loop = opened(f"udp:127.0.0.1:{port(peer)}@127.0.0.1:{chosen}")
    peer.sendto(b"first", ("127.0.0.1", chosen))
    loop.until_received(b"first")
    assert loop.backend.write(b"x") == BackendResult(1)
    assert peer.recvfrom(9) == (b"x", ("127.0.0.1", chosen))
    with pytest.raises(BackendError, match=f"serial0: udp:127.0.0.1:{port(peer)}: Address already in use"):
        opened(f"udp:127.0.0.1:{port(peer)}@:{chosen}")


def test_only_the_peer_is_heard(opened: Opened, peer: socket.socket) -> None:
    loop = opened(f"udp:127.0.0.1:{port(peer)}")
    with receiver() as stranger:
        stranger.sendto(b"forged", ("127.0.0.1", ours(loop)))
    peer.sendto(b"true", ("127.0.0.1", ours(loop)))
    loop.until_received(b"true")


def test_a_datagram_that_is_too_big_for_the_device_comes_in_pieces(opened: Opened, peer: socket.socket) -> None:
    loop = opened(f"udp:127.0.0.1:{port(peer)}")
    loop.room = 0
    peer.sendto(b"abcdefgh", ("127.0.0.1", ours(loop)))
    peer.sendto(b"ij", ("127.0.0.1", ours(loop)))
    assert not loop.serve()
    loop.room = 3
    loop.until_received(b"abc")
    loop.backend.advance(0)
    loop.backend.advance(3)
    loop.until(lambda: loop.received == b"abcdefgh")
    loop.until(lambda: loop.received == b"abcdefghij")


def test_that_nobody_listens_is_no_error(opened: Opened) -> None:
    target = unused_port(socket.SOCK_DGRAM)
    loop = opened(f"udp:127.0.0.1:{target}")
    for _ in range(5):
        assert loop.backend.write(b"x") == BackendResult(1)
        loop.serve()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as late:
        late.settimeout(PATIENCE_S)
        late.bind(("127.0.0.1", target))
        assert loop.backend.write(b"now") == BackendResult(3)
        assert late.recv(9) == b"now"
    assert loop.events == []


def test_a_flood_is_taken_no_faster_than_the_device_has_room(opened: Opened, peer: socket.socket) -> None:
    loop = opened(f"udp:127.0.0.1:{port(peer)}")
    loop.room = 10
    for _ in range(5000):
        peer.sendto(b"x" * 1000, ("127.0.0.1", ours(loop)))
    for _ in range(50):
        loop.serve()
    assert len(loop.received) <= 50 * 10
    assert set(loop.received) == {ord("x")}


def test_ipv6_is_in_brackets(opened: Opened) -> None:
    try:
        peer = receiver("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with peer:
        loop = opened(f"udp:[::1]:{port(peer)}")
        assert loop.backend.write(b"six") == BackendResult(3)
        data, sender = peer.recvfrom(9)
        peer.sendto(data, sender)
        loop.until_received(b"six")


def test_a_peer_that_has_no_address_is_named(opened: Opened) -> None:
    with pytest.raises(BackendError, match=r"serial0: udp:no\.such\.host\.invalid:1: "):
        opened("udp:no.such.host.invalid:1")
