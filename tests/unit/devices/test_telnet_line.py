"""A telnet connection over real sockets: who comes and goes, what is taken, what waits."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.char.telnet import YES_I_AM, Command, Option, TelnetCodec
from devices.backends.char.telnetline import PIECE_BYTES, UNSENT_BYTES, TelnetBackend
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop
from tests.unit.devices.char_lines import PATIENCE_S, Opened, call, opened, unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["opened"]

IAC = Command.IAC
GREETING: Final = bytes(TelnetCodec(server=True).replies)
AGREED: Final = bytes((IAC, Command.DO, Option.BINARY, IAC, Command.WILL, Option.BINARY))
BREAK: Final = bytes((IAC, Command.BREAK))


class User:
    """A peer that has read the greeting."""

    def __init__(self, loop: HostLoop) -> None:
        self.loop = loop
        self.socket = call(telnet(loop).address.port)
        opened_before = loop.kinds().count(HostEvent.OPENED)
        loop.until_kinds(HostEvent.OPENED, opened_before + 1)
        assert self.read(len(GREETING)) == GREETING

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            assert piece, data
            data += piece
        return data

    def close(self) -> None:
        self.socket.close()


def telnet(loop: HostLoop) -> TelnetBackend:
    assert isinstance(loop.backend, TelnetBackend)
    return loop.backend


@pytest.fixture
def server(opened: Opened) -> HostLoop:
    return opened("telnet:127.0.0.1:0,server=on")


@pytest.fixture
def user(server: HostLoop) -> Iterator[User]:
    user = User(server)
    yield user
    user.close()


def test_both_spellings_are_the_same(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    loop = opened("tcp:127.0.0.1:0,telnet=on,server=on,wait=off,nodelay")
    assert caplog.messages == [f"serial0: listening on telnet:127.0.0.1:{telnet(loop).address.port}"]
    assert loop.kinds() == [HostEvent.CLOSED]
    assert isinstance(create_backend("char", "telnet::23", "serial0"), TelnetBackend)


def test_what_is_typed_comes_in_and_what_is_said_goes_out(server: HostLoop, user: User) -> None:
    assert not server.backend.waiting()
    user.socket.sendall(AGREED + b"a\xff\xffb\r\n" + BREAK + b"c")
    server.until_received(b"a\xffb\r\nc")
    assert server.kinds() == [HostEvent.OPENED, HostEvent.DATA, HostEvent.BREAK, HostEvent.DATA]
    assert server.backend.write(b"x\xffy\rz") == BackendResult(5)
    assert user.read(6) == b"x\xff\xffy\rz"


def test_a_peer_that_does_not_answer_is_a_network_virtual_terminal(server: HostLoop, user: User) -> None:
    user.socket.sendall(b"ls\r\n")
    server.until_received(b"ls\r")
    assert server.backend.write(b"a\rb") == BackendResult(3)
    assert user.read(4) == b"a\r\0b"


def test_the_data_mark_of_a_synch_stays_in_its_place(server: HostLoop, user: User) -> None:
    user.socket.sendall(b"a" + bytes((IAC,)))
    user.socket.send(bytes((242,)), socket.MSG_OOB)
    user.socket.sendall(b"b")
    server.until_received(b"ab")


def test_each_peer_is_greeted_and_begins_anew(server: HostLoop) -> None:
    first = User(server)
    first.socket.sendall(AGREED + bytes((IAC, Command.SB, 24)))
    first.close()
    server.until_kinds(HostEvent.CLOSED)
    assert server.backend.write(b"dropped") == BackendResult(7)
    second = User(server)
    second.socket.sendall(b"x\r\0")
    server.until_received(b"x\r")
    second.close()


def test_64_kib_lose_nothing_in_either_direction(server: HostLoop, user: User) -> None:
    paste = bytes(range(256)) * 256
    user.socket.sendall(AGREED)
    server.serve(1000)
    there = TelnetCodec(server=False)
    list(there.decode(GREETING))
    sent = there.encode(paste)
    user.socket.setblocking(False)
    server.room = 16
    got, taken = b"", 0
    while len(server.received) < len(paste) or len(got) < len(paste):
        if sent:
            sent = sent[user.socket.send(sent[:5000]) :]
        result = server.backend.write(paste[taken : taken + 7000])
        taken += result.accepted
        server.serve()
        try:
            got += b"".join(text for _, text in there.decode(user.socket.recv(3000)))
        except BlockingIOError:
            continue
    assert server.received == paste
    assert got == paste


def test_a_slow_peer_blocks_and_says_when_it_does_not(server: HostLoop, user: User) -> None:
    data = b"\xff" * (1 << 24)
    taken = server.backend.write(data).accepted
    assert 0 < taken < len(data)
    assert server.backend.write(b"more") == BackendResult(0)
    # Two bytes go out for each.
    left = len(telnet(server)._unsent)
    got = user.read(2 * taken - left)
    server.until(lambda: HostEvent.WRITABLE in server.kinds())
    assert server.backend.write(b"more") == BackendResult(4)
    assert got + user.read(left + 4) == data[: 2 * taken] + b"more"


def test_answers_alone_never_make_the_guest_wait_or_hear_that_it_need_not(server: HostLoop, user: User) -> None:
    user.socket.sendall(bytes((IAC, Command.DO, 99)) * 1000 + b"x")
    server.until_received(b"x")
    assert server.backend.write(b"y") == BackendResult(1)
    assert user.read(3001) == bytes((IAC, Command.WONT, 99)) * 1000 + b"y"
    assert HostEvent.WRITABLE not in server.kinds()


def test_a_peer_that_asks_and_never_reads_is_not_listened_to_for_ever(server: HostLoop, user: User) -> None:
    user.socket.setblocking(False)
    flood = bytes((IAC, Command.ARE_YOU_THERE)) * 5000
    idle = 0
    while idle < 100:
        idle += 1
        with suppress(BlockingIOError):
            user.socket.send(flood)
            idle = 0
        idle = 0 if server.serve() else idle
    assert 0 < len(telnet(server)._unsent) < UNSENT_BYTES + PIECE_BYTES // 2 * len(YES_I_AM)
    assert server.backend.write(b"x") == BackendResult(0)
    user.close()
    server.until_kinds(HostEvent.CLOSED)


def test_a_peer_that_vanishes_is_an_error_once_and_then_nobody(server: HostLoop, user: User) -> None:
    server.backend.write(b"x" * (1 << 24))
    user.close()
    server.until(lambda: HostEvent.CLOSED in server.kinds())
    assert server.backend.write(b"z") == BackendResult(1)
    again = User(server)
    assert server.backend.write(b"z") == BackendResult(1)
    assert again.read(1) == b"z"
    again.close()


def test_what_was_taken_is_still_sent_when_the_line_is_closed(server: HostLoop, user: User) -> None:
    data = b"\xff" * (1 << 24)
    taken = server.backend.write(data).accepted
    left = len(telnet(server)._unsent)
    assert left
    got = bytearray(user.read(2 * taken - left))
    server.backend.close()
    while piece := user.socket.recv(1 << 20):
        got += piece
    assert got == data[: 2 * taken]


def test_a_client_lets_the_server_ask(opened: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = opened(f"telnet:127.0.0.1:{listener.getsockname()[1]}")
        with listener.accept()[0] as peer:
            peer.settimeout(PATIENCE_S)
            peer.sendall(GREETING + b"login:")
            loop.until_received(b"login:")
            assert loop.backend.write(b"r\xff") == BackendResult(2)
            peer.shutdown(socket.SHUT_WR)
            said = b""
            while piece := _some(loop, peer):
                said += piece
            agreed = bytes((IAC, Command.DO, Option.ECHO, IAC, Command.DO, Option.SUPPRESS_GO_AHEAD))
            assert said == agreed + bytes((IAC, Command.DO, 0, IAC, Command.WILL, 0)) + b"r\xff\xff"
        assert loop.kinds()[-1] is HostEvent.CLOSED


def _some(loop: HostLoop, peer: socket.socket) -> bytes:
    while loop.serve():
        pass
    return peer.recv(4096)


def test_a_refused_call_names_the_address(opened: Opened) -> None:
    port = unused_port(socket.SOCK_STREAM)
    with pytest.raises(BackendError, match=f"serial0: telnet:127.0.0.1:{port}: Connection refused"):
        opened(f"telnet:127.0.0.1:{port}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([BREAK, AGREED, b"\xff", b"\xff\xfa"])), max_size=20)
)
def test_hostile_peers_are_data_and_breaks_and_nothing_else(pieces: list[bytes]) -> None:
    loop = HostLoop(create_backend("char", "telnet:127.0.0.1:0,server=on", "serial0")).open()
    try:
        with call(telnet(loop).address.port) as peer:
            for piece in pieces:
                peer.sendall(piece)
                loop.serve()
                assert loop.backend.write(b"out") == BackendResult(3)
        loop.until_kinds(HostEvent.CLOSED)
        assert set(loop.kinds()) <= {HostEvent.OPENED, HostEvent.DATA, HostEvent.BREAK, HostEvent.CLOSED}
        assert len(loop.received) <= sum(map(len, pieces))
    finally:
        loop.backend.close()
