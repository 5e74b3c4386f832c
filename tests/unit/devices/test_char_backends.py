"""Each character backend against a real descriptor, terminal, socket or file."""

from __future__ import annotations

import errno
import os
import socket
import termios
from typing import TYPE_CHECKING

import pytest

from devices.backends import create_backend
from devices.backends.char.pty import PtyBackend
from devices.backends.char.stdio import StdioBackend
from devices.backends.char.stream import StreamBackend
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.unit.devices.char_lines import Opened, lflag, opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.host_loop import HostLoop

__all__ = ["opened"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("teletype", r"known: stdio\[,mux=on\], null, pty, file:PATH"),
        ("stdio:x", "unknown option 'x' .known: mux, signal"),
        ("file:", "needs a path"),
        ("unix:", "needs a path"),
        ("tcp:localhost", "HOST:PORT"),
        ("tcp:localhost:99999", "HOST:PORT"),
        ("tcp:localhost:http", "HOST:PORT"),
        ("tcp:localhost:1,sever=on", "unknown option 'sever=on'"),
        ("tcp:localhost:1,wait=maybe", "unknown option 'wait=maybe'"),
        ("tcp:localhost:1,fd=3", "fd: a descriptor that another process hands over cannot be named in a recording"),
        ("unix:/s,fd=3", "fd: a descriptor"),
        ("unix:/s,telnet=on", "unknown option 'telnet=on'"),
        ("telnet:localhost", "write telnet:HOST:PORT"),
        ("telnet:localhost:1,telnet=off", "telnet without telnet is tcp:localhost:1"),
        ("udp:localhost", "write udp:HOST:PORT@LOCALHOST:LOCALPORT with a port"),
        ("udp:localhost:0", "the peer's port cannot be 0"),
        ("udp:localhost:1@here", "write udp:HOST:PORT@LOCALHOST:LOCALPORT with a port"),
        ("pipe:", "needs a path"),
        ("ringbuf:size=0", "not a number from 1 to"),
        ("ringbuf:length=5", "unknown option 'length'"),
        ("tty:", "needs a path: tty:/dev/DEVICE"),
        ("tty:/dev/ttyS0,modem=on", "modem: the modem lines of a real terminal cannot be recorded"),
        ("tty:/dev/ttyS0,speed=9601", "speed 9601 is none that terminals have"),
        ("tty:/dev/ttyS0,bits=9", "'9' is not a number from 5 to 8"),
        ("tty:/dev/ttyS0,parity=mark", "parity 'mark' is not one of none, even, odd"),
        ("/dev/ttyS0,flow=on", "unknown option 'flow'"),
        ("pyserial:", "needs a port"),
        ("loop://,baud=5", "unknown option 'baud=5'"),
        ("stdio,mux=perhaps", "neither on nor off"),
        ("stdio,signal=on", "Ctrl-C belongs to the guest"),
        ("mon:file:/x", "nobody types on file"),
        ("mon:mon:stdio", "nobody types on mon"),
        ("mon:stdio,mux=on", "takes no argument"),
        ("mon:nonsense", "unknown backend 'nonsense'"),
    ],
)
def test_a_wrong_word_says_what_would_be_right(word: str, says: str) -> None:
    with pytest.raises(BackendError, match=f"^serial0: .*{says}"):
        create_backend("char", word, "serial0")


def test_a_device_without_a_backend_ignores_its_word(opened: Opened) -> None:
    assert create_backend("none", "fixed:12", "rtc0").write(b"x") == BackendResult(1)


def test_null_takes_everything(opened: Opened) -> None:
    loop = opened("null")
    assert loop.backend.write(b"abc") == BackendResult(3)
    assert loop.backend.descriptors(100) == ()


def test_a_file_is_emptied_and_then_holds_the_output(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"what was there before")
    loop = opened(f"file:{path}")
    assert loop.backend.write(b"one") == BackendResult(3)
    assert loop.backend.write(b"two" * 5000) == BackendResult(15000)
    assert path.read_bytes() == b"one" + b"two" * 5000


def test_a_full_disk_is_an_error_in_the_result_and_said_once(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    backend = opened("file:/dev/full").backend
    for _ in range(3):
        assert backend.write(b"x") == BackendResult(0, errno.ENOSPC)
    assert caplog.messages == ["/dev/full: No space left on device; what cannot be written is lost"]


def test_a_file_that_cannot_be_made_is_named(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no-such-dir/out: "):
        opened(f"file:{tmp_path}/no-such-dir/out")


def test_a_pipe_on_stdio_is_just_a_pipe(opened: Opened) -> None:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    loop = opened(StdioBackend("serial0", in_read, out_write))
    os.write(in_write, b"\x01xyz")
    loop.room = 3
    loop.until(lambda: len(loop.received) == 3)
    assert list(loop.backend.descriptors(0)) == []
    os.close(in_write)
    loop.until(lambda: len(loop.received) == 4)
    loop.until(lambda: not loop.backend.descriptors(9))
    assert (loop.received, loop.kinds(), loop.backend.wants_quit()) == (b"\x01xyz", [HostEvent.DATA] * 2, False)
    assert loop.backend.write(b"out") == BackendResult(3)
    assert os.read(out_read, 99) == b"out"
    assert os.get_blocking(out_write)
    for descriptor in (in_read, out_read, out_write):
        os.close(descriptor)


def test_a_full_pipe_takes_a_part_and_says_when_it_takes_more(opened: Opened) -> None:
    out_read, out_write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    loop = opened(StdioBackend("serial0", null, out_write))
    result = loop.backend.write(b"x" * (1 << 20))
    assert 0 < result.accepted < 1 << 20
    assert result.error == 0
    assert HostEvent.WRITABLE not in loop.kinds()
    taken = 0
    while taken < result.accepted:
        taken += len(os.read(out_read, 1 << 16))
    loop.until(lambda: HostEvent.WRITABLE in loop.kinds())
    assert loop.backend.write(b"more") == BackendResult(4)
    os.close(out_read)
    assert loop.backend.write(b"x") == BackendResult(0, errno.EPIPE)
    os.close(out_write)
    os.close(null)


def test_a_pty_may_be_opened_closed_and_opened_again(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    backend = PtyBackend("serial0")
    loop = opened(backend)
    assert caplog.messages == [f"char device redirected to {backend.path} (serial0)"]
    assert loop.backend.write(b"nobody reads this") == BackendResult(17)
    for greeting, so_far in ((b"first", b"first"), (b"second", b"firstsecond")):
        user = os.open(backend.path, os.O_RDWR | os.O_NOCTTY)
        assert not lflag(user) & (termios.ICANON | termios.ECHO)
        os.write(user, greeting)
        loop.until_received(so_far)
        assert loop.backend.write(b"hello") == BackendResult(5)
        assert os.read(user, 99) == b"hello"
        os.close(user)
        # A closed other side is not busy: once its edge has been taken nothing is ready any more.
        for _ in range(4):
            loop.serve()
        assert not loop.serve()
    assert loop.received == b"firstsecond"


def test_what_was_typed_before_a_pty_was_closed_still_comes_in(opened: Opened) -> None:
    backend = PtyBackend("serial0")
    loop = opened(backend)
    loop.room = 0
    user = os.open(backend.path, os.O_RDWR | os.O_NOCTTY)
    os.write(user, b"bye")
    os.close(user)
    for _ in range(4):
        loop.serve()
    assert not loop.serve()
    loop.room = 2
    loop.until(lambda: loop.received == b"by")
    loop.until(lambda: loop.received == b"bye")


def test_a_pty_reader_that_leaves_without_reading_frees_the_line(opened: Opened) -> None:
    backend = PtyBackend("serial0")
    loop = opened(backend)
    user = os.open(backend.path, os.O_RDWR | os.O_NOCTTY)
    assert loop.backend.write(b"x" * (1 << 20)).accepted < 1 << 20
    os.close(user)
    loop.until(lambda: HostEvent.WRITABLE in loop.kinds())
    assert loop.backend.write(b"y" * (1 << 20)) == BackendResult(1 << 20)


def stream(loop: HostLoop) -> StreamBackend:
    assert isinstance(loop.backend, StreamBackend)
    return loop.backend


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, opened: Opened, tmp_path: Path) -> HostLoop:
    word = "tcp:127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/line"
    return opened(f"{word},server=on")


def connect(loop: HostLoop) -> socket.socket:
    address = stream(loop).address
    if address.path:
        user = socket.socket(socket.AF_UNIX)
        user.connect(address.path)
        return user
    return socket.create_connection((address.host, address.port))


def test_a_server_says_where_it_listens(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    loop = opened("tcp:127.0.0.1:0,server=on")
    assert stream(loop).address.port
    assert caplog.messages == [f"serial0: listening on {stream(loop).address}"]


def test_a_server_waits_for_its_first_peer(server: HostLoop) -> None:
    assert server.backend.waiting() == f"a client on {stream(server).address}; connect one, or say wait=off"
    assert server.backend.write(b"dropped") == BackendResult(7)
    with connect(server):
        server.until(lambda: server.kinds() == [HostEvent.OPENED])
        assert not server.backend.waiting()


def test_peers_come_one_after_the_other(server: HostLoop) -> None:
    for number in (1, 2):
        with connect(server) as user:
            user.sendall(b"in")
            server.until_received(b"in" * number)
            assert server.backend.write(b"out") == BackendResult(3)
            assert user.recv(99) == b"out"
        server.until_kinds(HostEvent.CLOSED, number)
        assert not server.backend.waiting()
        assert server.backend.write(b"dropped") == BackendResult(7)


def test_a_peer_is_read_no_further_than_there_is_room(server: HostLoop) -> None:
    with connect(server) as user:
        server.until(lambda: HostEvent.OPENED in server.kinds())
        user.sendall(b"abcdef")
        server.room = 4
        server.until(lambda: server.received == b"abcd")
        server.room = 0
        assert not server.serve()
        server.room = 4
        server.until(lambda: server.received == b"abcdef")


def test_a_slow_peer_blocks_and_says_when_it_does_not(server: HostLoop) -> None:
    with connect(server) as user:
        server.until(lambda: HostEvent.OPENED in server.kinds())
        result = server.backend.write(b"x" * (1 << 24))
        assert 0 < result.accepted < 1 << 24
        taken = 0
        while taken < result.accepted:
            taken += len(user.recv(1 << 20))
        server.until(lambda: HostEvent.WRITABLE in server.kinds())


def test_a_peer_that_vanishes_is_an_error_once_and_then_nobody(server: HostLoop) -> None:
    user = connect(server)
    server.until(lambda: HostEvent.OPENED in server.kinds())
    blocked = server.backend.write(b"x" * (1 << 24))
    user.close()
    server.until(lambda: HostEvent.WRITABLE in server.kinds() or HostEvent.CLOSED in server.kinds())
    assert server.backend.write(b"y").error in (0, errno.EPIPE, errno.ECONNRESET)
    server.until(lambda: HostEvent.CLOSED in server.kinds())
    assert server.backend.write(b"z") == BackendResult(1)
    assert blocked.accepted < 1 << 24


def test_a_server_that_does_not_wait_says_that_nobody_is_there(opened: Opened, tmp_path: Path) -> None:
    loop = opened(f"unix:{tmp_path}/line,server=on,wait=off")
    assert not loop.backend.waiting()
    assert loop.kinds() == [HostEvent.CLOSED]


def test_a_client_connects_when_it_is_opened(opened: Opened, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/line")
        listener.listen()
        loop = opened(f"unix:{tmp_path}/line")
        with listener.accept()[0] as user:
            assert loop.kinds() == [HostEvent.OPENED]
            user.sendall(b"hi")
            loop.until(lambda: loop.received == b"hi")
        loop.until(lambda: HostEvent.CLOSED in loop.kinds())
        assert loop.backend.descriptors(9) == ()


def test_a_refused_connection_names_the_address(opened: Opened, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(BackendError, match=f"serial0: tcp:127.0.0.1:{port}: Connection refused"):
            opened(f"tcp:127.0.0.1:{port}")
    with pytest.raises(BackendError, match="line: No such file"):
        opened(f"unix:{tmp_path}/line")


def test_an_address_in_use_is_named(server: HostLoop, opened: Opened) -> None:
    with pytest.raises(BackendError, match=f"serial0: {stream(server).address}: Address already in use"):
        opened(f"{stream(server).address},server=on")


def test_a_socket_file_comes_and_goes_with_its_server_and_a_stale_one_is_replaced(
    opened: Opened, tmp_path: Path
) -> None:
    path = tmp_path / "line"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    loop = opened(f"unix:{path},server=on")
    assert path.exists()
    loop.backend.close()
    assert not path.exists()


def test_qemus_old_words_are_understood(opened: Opened, tmp_path: Path) -> None:
    address = stream(opened(f"unix:{tmp_path}/line,server,nowait")).address
    assert (address.server, address.wait) == (True, False)


def test_a_socket_is_of_the_kind_that_its_place_is(opened: Opened, tmp_path: Path) -> None:
    assert stream(opened(f"socket:{tmp_path}/a:1,server=on,wait=off")).address.path == f"{tmp_path}/a:1"
    assert stream(opened("socket:127.0.0.1:0,server=on,wait=off")).address.host == "127.0.0.1"
    with pytest.raises(BackendError, match="needs a path"):
        opened("socket:")
