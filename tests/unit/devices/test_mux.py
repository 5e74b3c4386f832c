"""A terminal that guest and monitor share: real terminals and sockets, a small monitor of the test's own."""

from __future__ import annotations

import os
import select
import signal
import socket
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from devices.backends import create_backend
from devices.backends.char.escape import HELP
from devices.backends.char.mux import TEXT_BYTES, MuxBackend
from devices.backends.char.stdio import StdioBackend
from devices.backends.char.stream import StreamBackend
from machine.message import BackendResult, HostEvent
from tests.unit.devices.char_lines import PATIENCE_S, Opened, lflag, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.host_loop import HostLoop

__all__ = ["opened"]

SWITCH: Final = b"\x01c"
POLL_S: Final = 0.01
HELLO: Final = b"monitor\r\n(m) "


class Terminal:
    """A pseudo-terminal: somebody sits at `user`, the backend has `line`."""

    def __init__(self) -> None:
        self.user, self.line = os.openpty()

    def stdio(self) -> StdioBackend:
        return StdioBackend("serial0", self.line, self.line)

    def type(self, keys: bytes) -> None:
        os.write(self.user, keys)

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, or those until the terminal has gone."""
        data = b""
        while len(data) < size:
            data += os.read(self.user, size - len(data))
        return data

    def close(self) -> None:
        os.close(self.user)
        os.close(self.line)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setenv("DEJAVM_RUN_DIRECTORY", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(PATIENCE_S)
        listener.bind(str(tmp_path / "monitor"))
        listener.listen()
        yield listener


def accept(monitor: socket.socket) -> socket.socket:
    peer = monitor.accept()[0]
    peer.settimeout(PATIENCE_S)
    peer.sendall(HELLO)
    return peer


def shared(terminal: Terminal, opened: Opened) -> HostLoop:
    return opened(MuxBackend(terminal.stdio(), "serial0", monitor=True))


def mux(loop: HostLoop) -> MuxBackend:
    assert isinstance(loop.backend, MuxBackend)
    return loop.backend


def connected(loop: HostLoop) -> bool:
    monitor = mux(loop)._monitor
    return monitor is not None and monitor.connected


def see(loop: HostLoop, terminal: Terminal, text: bytes) -> None:
    """Serve until exactly this is on the screen."""
    seen = b""
    deadline = time.monotonic() + PATIENCE_S
    while seen != text:
        loop.serve()
        # What is written to a terminal is at its other end a little later.
        if select.select([terminal.user], [], [], POLL_S)[0]:
            seen += os.read(terminal.user, 4096)
        assert text.startswith(seen), seen
        assert time.monotonic() < deadline, seen


def test_a_terminal_is_raw_and_given_back(opened: Opened, terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.line)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    loop = opened(MuxBackend(terminal.stdio(), "serial0", monitor=False))
    assert not lflag(terminal.line) & (termios.ICANON | termios.ECHO | termios.ISIG)
    terminal.type(b"a\x03b\x01\x01c")
    loop.until(lambda: len(loop.received) == 5)
    assert loop.received == b"a\x03b\x01c"
    assert loop.backend.write(b"hi") == BackendResult(2)
    assert terminal.read(2) == b"hi"
    assert os.get_blocking(terminal.line)
    terminal.type(b"z\x01b\x01x")
    loop.until(loop.backend.wants_quit)
    assert loop.kinds()[-2:] == [HostEvent.DATA, HostEvent.BREAK]
    loop.backend.close()
    assert termios.tcgetattr(terminal.line) == before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == handlers


def test_the_escape_key_works_when_the_guest_has_no_room(opened: Opened, terminal: Terminal) -> None:
    loop = opened(MuxBackend(terminal.stdio(), "serial0", monitor=False))
    loop.room = 0
    terminal.type(b"typed\x01x")
    loop.until(loop.backend.wants_quit)
    assert loop.received == b""
    loop.backend.advance(3)
    loop.backend.advance(9)
    assert loop.received == b"typed"


def test_help_is_shown_and_a_line_without_a_monitor_says_so(opened: Opened, terminal: Terminal) -> None:
    loop = opened(MuxBackend(terminal.stdio(), "serial0", monitor=False))
    terminal.type(b"\x01h")
    see(loop, terminal, HELP.replace("\n", "\r\n").encode())
    terminal.type(SWITCH + b"x")
    loop.until_received(b"x")
    see(loop, terminal, b"\r\n[this line has no monitor; it has with --serial mon:stdio]\r\n")


def test_a_session_with_the_monitor_is_no_input(opened: Opened, terminal: Terminal, monitor: socket.socket) -> None:
    loop = shared(terminal, opened)
    terminal.type(b"ls\r" + SWITCH)
    loop.until_received(b"ls\r")
    loop.until(lambda: connected(loop))
    with accept(monitor) as peer:
        see(loop, terminal, b"\r\nmonitor\r\n(m) ")
        terminal.type(b"inof\x7f\x7ffo\r")
        see(loop, terminal, b"inof\b \b\b \bfo\r\n")
        assert peer.recv(99) == b"info\n"
        peer.sendall(b"line one\nline two\r\n(m) ")
        see(loop, terminal, b"line one\r\nline two\r\n(m) ")
        # The guest goes on talking meanwhile.
        assert loop.backend.write(b"guest") == BackendResult(5)
        assert terminal.read(5) == b"guest"
        terminal.type(b"unfinished" + SWITCH + b"pwd\r")
        loop.until(lambda: loop.received == b"ls\rpwd\r")
        terminal.read(len(b"unfinished\r\n"))
        # Back again it is the same session, and what was not entered is forgotten.
        terminal.type(SWITCH + b"quit\r")
        see(loop, terminal, b"\r\nquit\r\n")
        assert peer.recv(99) == b"\nquit\n"
    loop.until(lambda: not connected(loop))
    see_gone = b"\r\n[no monitor: it has hung up]\r\n"
    assert terminal.read(len(see_gone)) == see_gone
    terminal.type(b"x")
    loop.until(lambda: loop.received == b"ls\rpwd\rx")
    assert set(loop.kinds()) == {HostEvent.DATA}


def test_a_monitor_that_is_absent_is_told_each_time_it_is_called(
    opened: Opened, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEJAVM_RUN_DIRECTORY", str(tmp_path))
    loop = shared(terminal, opened)
    for number in (1, 2):
        terminal.type(SWITCH + b"x")
        loop.until_received(b"x" * number)
        absent = b"\r\n[no monitor: No such file or directory]\r\n"
        assert terminal.read(len(absent)) == absent
    monkeypatch.delenv("DEJAVM_RUN_DIRECTORY")
    terminal.type(SWITCH + b"y")
    loop.until_received(b"xxy")
    see(loop, terminal, b"\r\n[no monitor: this process does not belong to a running machine]\r\n")


def test_a_monitor_that_has_no_place_for_us_is_busy(opened: Opened, terminal: Terminal, monitor: socket.socket) -> None:
    monitor.listen(0)
    callers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for caller in callers:
        caller.setblocking(False)
        caller.connect_ex(monitor.getsockname())
    loop = shared(terminal, opened)
    terminal.type(SWITCH + b"x")
    loop.until_received(b"x")
    see(loop, terminal, b"\r\n[no monitor: it is busy]\r\n")
    for caller in callers:
        caller.close()


def test_a_flood_of_the_monitors_waits_for_the_terminal_and_the_guest_does_not_hear_of_it(
    opened: Opened, terminal: Terminal, monitor: socket.socket
) -> None:
    loop = shared(terminal, opened)
    terminal.type(SWITCH)
    loop.until(lambda: connected(loop))
    with accept(monitor) as peer:
        peer.setblocking(False)
        sent, idle = 0, 0
        while idle < 50:
            idle += 1
            with suppress(BlockingIOError):
                sent += peer.send(b"x" * 4096)
                idle = 0
            idle = 0 if loop.serve() else idle
        assert len(loop.backend._text) < TEXT_BYTES + 2 * 4096  # type: ignore[attr-defined]
        got = b""
        os.set_blocking(terminal.user, False)
        while got.count(b"x") < sent:
            try:
                got += os.read(terminal.user, 1 << 16)
            except BlockingIOError:
                assert loop.serve(int(PATIENCE_S * 1000))
    assert loop.events == []


def test_the_guests_output_that_had_to_wait_is_asked_for_again_and_only_then(
    opened: Opened, terminal: Terminal, monitor: socket.socket
) -> None:
    loop = shared(terminal, opened)
    taken = loop.backend.write(b"x" * (1 << 20)).accepted
    assert 0 < taken < 1 << 20
    terminal.type(SWITCH)
    loop.until(lambda: connected(loop))
    with accept(monitor):
        loop.serve(1000)
        assert terminal.read(taken) == b"x" * taken
        loop.until_kinds(HostEvent.WRITABLE)
        assert loop.backend.write(b"more") == BackendResult(4)
        see(loop, terminal, b"\r\nmonitor\r\n(m) more")
    assert loop.kinds() == [HostEvent.WRITABLE]


@pytest.mark.parametrize("word", ["tcp:127.0.0.1:0,server=on", "telnet:127.0.0.1:0,server=on"])
def test_each_peer_of_a_shared_socket_begins_at_the_console(opened: Opened, monitor: socket.socket, word: str) -> None:
    loop = opened(f"mon:{word}")
    assert loop.backend.waiting()
    inner = mux(loop)._inner
    assert isinstance(inner, StreamBackend)
    for number in (1, 2):
        with socket.create_connection(("127.0.0.1", inner.address.port)) as user:
            user.settimeout(PATIENCE_S)
            loop.until_kinds(HostEvent.OPENED, number)
            user.sendall(b"guest" + SWITCH + b"in")
            loop.until_received(b"guest" * number)
            with accept(monitor) as peer:
                seen = b""
                while not seen.endswith(b"(m) "):
                    loop.serve(10)
                    user.setblocking(False)
                    try:
                        seen += user.recv(4096)
                    except BlockingIOError:
                        continue
                user.setblocking(True)
                user.close()
                loop.until_kinds(HostEvent.CLOSED, number)
                assert peer.recv(9) == b""


def test_stdio_is_shared_or_not_without_being_closed(
    opened: Opened, terminal: Terminal, monitor: socket.socket
) -> None:
    loop = opened(MuxBackend(terminal.stdio(), "serial0", monitor=False))
    raw = lflag(terminal.line)
    assert loop.backend.take_word("mon:stdio")
    terminal.type(SWITCH)
    loop.until(lambda: connected(loop))
    with accept(monitor) as peer:
        see(loop, terminal, b"\r\nmonitor\r\n(m) ")
        assert loop.backend.take_word("stdio")
        assert peer.recv(9) == b""
    terminal.type(b"guest")
    loop.until_received(b"guest")
    assert not loop.backend.take_word("null")
    assert lflag(terminal.line) == raw


def test_pipes_are_shared_only_if_that_is_asked_for(opened: Opened, monitor: socket.socket) -> None:
    for word, received in (("stdio", b"a\x01cb"), ("mon:stdio", b"a")):
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        backend = MuxBackend(StdioBackend("serial0", in_read, out_write), "serial0", monitor=word != "stdio")
        loop = opened(backend)
        os.write(in_write, b"a" + SWITCH + b"b")
        loop.until_received(received)
        loop.backend.close()
        for descriptor in (in_read, in_write, out_read, out_write):
            os.close(descriptor)


def test_the_words_make_what_they_say(opened: Opened) -> None:
    for word in ("mon:stdio", "stdio,mux=on"):
        backend = create_backend("char", word, "serial0")
        assert isinstance(backend, MuxBackend)
        assert backend.take_word("mon:stdio")
    backend = create_backend("char", "mon:pty", "serial0")
    assert isinstance(backend, MuxBackend)
    assert backend.take_word("pty")
    assert not backend.take_word("stdio")
