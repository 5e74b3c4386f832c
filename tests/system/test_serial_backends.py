"""The rarer serial backends of a real machine: telnet, datagrams, pipes, rings, terminals, URLs, and the monitor."""

from __future__ import annotations

import os
import re
import select
import socket
import time
import tty
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import pexpect
import pytest

from devices.backends.char.telnet import Command, TelnetCodec
from machine.message import HostEvent
from tests.harness.guests import guest
from tests.harness.machine import console, typed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = pytest.mark.system

PASTE_BYTES: Final = 64 * 1024
DEADLINE_S: Final = 30.0
BOOT_S: Final = 90
HELLO: Final = b"hello\n"
END: Final = b"\x04"
SWITCH: Final = b"\x01c"
EXIT_USAGE: Final = 2


class Wire:
    """Bytes to and from a backend's other end; `encode` and `decode` where they are not sent as they are."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader, self.writer = reader, writer
        self.said = b""
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

    def encode(self, data: bytes) -> bytes:
        """What stands for these bytes."""
        return data

    def decode(self, data: bytes) -> bytes:
        """The bytes that this stands for."""
        return data

    def send(self, data: bytes) -> None:
        """Send all of it, and take what comes meanwhile."""
        left = self.encode(data)
        while left:
            readable, writable, _ = select.select([self.reader], [self.writer], [], DEADLINE_S)
            assert readable or writable, self.said[-200:]
            if readable:
                self._take()
            if writable:
                left = left[os.write(self.writer, left) :]

    def until(self, mark: bytes) -> bytes:
        """Take what comes until the mark has come; all that has come so far."""
        while mark not in self.said:
            assert select.select([self.reader], [], [], DEADLINE_S)[0], self.said[-200:]
            assert self._take(), self.said[-200:]
        return self.said

    def _take(self) -> bool:
        data = os.read(self.reader, 65536)
        self.said += self.decode(data)
        return bool(data)


class TelnetWire(Wire):
    """A telnet client."""

    def __init__(self, reader: int, writer: int) -> None:
        super().__init__(reader, writer)
        self._codec = TelnetCodec(server=False)

    def encode(self, data: bytes) -> bytes:
        """In telnet's words."""
        return self._codec.encode(data)

    def decode(self, data: bytes) -> bytes:
        """Text; what is asked is answered at once."""
        text = b"".join(text for event, text in self._codec.decode(data) if event is HostEvent.DATA)
        if self._codec.replies:
            os.write(self.writer, self._codec.replies)
            self._codec.replies.clear()
        return text


Connect = Callable[[], Wire]
"""Connects to a machine that has been started."""


def _dial(path: Path | int) -> socket.socket:
    """A connection to a machine's socket, once it is there."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        peer = socket.socket(socket.AF_INET if isinstance(path, int) else socket.AF_UNIX)
        try:
            peer.connect(("127.0.0.1", path) if isinstance(path, int) else str(path))
        except OSError:
            peer.close()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        else:
            return peer


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def _other_end(kind: str, home: Home) -> Iterator[tuple[str, Connect]]:
    """A word for --serial, and what connects to it once the machine has been started."""
    with ExitStack() as held:

        def over(peer: socket.socket, wire: type[Wire] = Wire) -> Wire:
            held.enter_context(peer)
            return wire(peer.fileno(), peer.fileno())

        match kind:
            case "telnet":
                port = _free_port()
                yield f"telnet:127.0.0.1:{port},server=on", lambda: over(_dial(port), TelnetWire)
            case "mon":
                path = home.work / "s"
                yield f"mon:unix:{path},server=on", lambda: over(_dial(path))
            case "pipe":
                ends = []
                for name in ("p.in", "p.out"):
                    os.mkfifo(home.work / name)
                    ends.append(os.open(home.work / name, os.O_RDWR | os.O_NONBLOCK))
                    held.callback(os.close, ends[-1])
                yield "pipe:p", lambda: Wire(ends[1], ends[0])
            case "tty":
                far, near = os.openpty()
                tty.setraw(near)
                held.callback(os.close, far)
                held.callback(os.close, near)
                yield os.ttyname(near), lambda: Wire(far, far)
            case "socket":
                server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
                server.settimeout(DEADLINE_S)
                yield f"socket://127.0.0.1:{server.getsockname()[1]}", lambda: over(server.accept()[0])
            case _:
                raise AssertionError(kind)


def _start(home: Home, serial: str, *more: str) -> tuple[Running, Path]:
    recording = home.work / "a.dejavm"
    machine = ("record", "bare", "--kernel", guest("echo"), "-o", recording)
    return home.start(*machine, "--serial", serial, *more), recording


def _finish(running: Running) -> None:
    done = running.finish()
    assert done.exit_code == 0, done.stderr


def _talk(wire: Wire) -> None:
    """Say hello to the echo guest and end it."""
    wire.until(b"READY\n")
    wire.send(HELLO)
    wire.until(b"HELLO\n")
    wire.send(END)
    wire.until(b"PASS\n")


@pytest.mark.parametrize("kind", ["telnet", "pipe", "tty", "socket", "mon"])
def test_a_paste_of_64_kib_loses_no_byte_on_any_line(home: Home, kind: str) -> None:
    paste = b"".join(b"%07d pasted.\n" % number for number in range(PASTE_BYTES))[:PASTE_BYTES]
    with _other_end(kind, home) as (word, connect):
        running, recording = _start(home, word)
        wire = connect()
        wire.until(b"READY\n")
        wire.send(paste + END)
        said = wire.until(b"PASS\n")
        _finish(running)
    assert typed(recording) == paste + END
    assert said.startswith(b"READY\n" + paste.upper() + b"\ncount %d " % PASTE_BYTES)
    assert console(recording) == said
    home.verify_both_ways(recording)


def test_datagrams_are_a_serial_line(home: Home) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(DEADLINE_S)
        running, recording = _start(home, f"udp:127.0.0.1:{peer.getsockname()[1]}")
        said, sender = peer.recvfrom(4096)
        for mark, answer in ((b"READY\n", HELLO), (b"HELLO\n", END), (b"PASS\n", b"")):
            while mark not in said:
                said += peer.recv(4096)
            peer.sendto(answer, sender)
        _finish(running)
    assert console(recording) == said
    assert typed(recording) == HELLO + END
    home.verify_both_ways(recording)


def test_what_was_recorded_over_telnet_is_shown_by_any_other_line(home: Home) -> None:
    with _other_end("telnet", home) as (word, connect):
        running, recording = _start(home, word)
        _talk(connect())
        _finish(running)
    os.mkfifo(home.work / "p")
    with open(os.open(home.work / "p", os.O_RDWR), "rb", buffering=0) as pipe:
        assert home.run("replay", recording, "--serial", "file:shown").exit_code == 0
        assert (home.work / "shown").read_bytes() == console(recording)
        assert home.run("replay", recording, "--serial", "pipe:p").exit_code == 0
        assert pipe.read(4096) == console(recording)
    with _other_end("telnet", home) as (word, connect):
        running = home.start("replay", recording, "--serial", word)
        wire = connect()
        wire.send(b"nobody hears this")
        assert wire.until(b"PASS\n") == console(recording)
        _finish(running)


@contextmanager
def _monitor(home: Home) -> Iterator[Wire]:
    """A session with the line mode of the one machine that runs."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := list(home.runtime.glob("**/monitor"))):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with _dial(found[0]) as peer:
        wire = Wire(peer.fileno(), peer.fileno())
        wire.until(b"(dejavm) ")
        yield wire


def _ask(wire: Wire, line: bytes) -> bytes:
    """The answer to a line of the monitor's."""
    wire.said = b""
    wire.send(line + b"\n")
    return wire.until(b"(dejavm) ").removesuffix(b"(dejavm) ")


def test_a_ring_holds_what_was_said_until_the_line_is_put_on_something_else(home: Home) -> None:
    running, recording = _start(home, "ringbuf:size=64")
    with _monitor(home) as monitor:
        shown = b""
        while b"READY" not in shown:
            shown += _ask(monitor, b"ringbuf_read serial0 100")
        assert _ask(monitor, b"info chardev") == b"serial0: filename=ringbuf:size=64\r\n"
        path = home.work / "s"
        assert _ask(monitor, f"chardev-change serial0 unix:{path},server=on,wait=off".encode()) == b""
        with _dial(path) as peer:
            wire = Wire(peer.fileno(), peer.fileno())
            wire.send(HELLO)
            wire.until(b"HELLO\n")
            wire.send(END)
            wire.until(b"PASS\n")
    _finish(running)
    assert console(recording).startswith(b"READY\nHELLO\n")
    home.verify_both_ways(recording)


def test_what_belongs_to_the_monitor_is_never_recorded(home: Home) -> None:
    with _other_end("mon", home) as (word, connect):
        running, recording = _start(home, word)
        wire = connect()
        wire.until(b"READY\n")
        wire.send(HELLO)
        wire.until(b"HELLO\n")
        wire.send(SWITCH)
        wire.until(b"(dejavm) ")
        for line, answer in (
            (b"info status", b"running"),
            (b"info replay", b"Recording"),
            (b"bad", b"unknown command"),
        ):
            wire.said = b""
            wire.send(line + b"\r")
            wire.until(b"(dejavm) ")
            assert wire.said.startswith(line + b"\r\n")
            assert answer in wire.said
        wire.send(SWITCH + END)
        wire.until(b"PASS\n")
        _finish(running)
    assert typed(recording) == HELLO + END
    assert b"monitor" not in console(recording)
    home.verify_both_ways(recording)


def test_a_terminal_is_shared_with_the_monitor_and_given_back(home: Home) -> None:
    recording = home.work / "a.dejavm"
    command, *args = home.argv("record", "bare", "--kernel", guest("echo"), "--serial", "mon:stdio", "-o", recording)
    child = pexpect.spawn(command, args, cwd=str(home.work), env=home.environment(), timeout=DEADLINE_S)
    child.delaybeforesend = None
    child.expect_exact("READY")
    child.send("hello\n")
    child.expect_exact("HELLO")
    child.send(SWITCH)
    child.expect_exact("(dejavm) ")
    child.send("info chardef\x7fv\r")
    child.expect_exact("serial0: filename=mon:stdio")
    child.expect_exact("(dejavm) ")
    child.send(SWITCH + b"again\n")
    child.expect_exact("AGAIN")
    child.send(SWITCH + b"quit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert typed(recording) == b"hello\nagain\n"
    home.verify_both_ways(recording)


def test_the_monitor_ends_a_replay_from_the_shared_line(home: Home) -> None:
    with _other_end("mon", home) as (word, connect):
        running, recording = _start(home, word)
        _talk(connect())
        _finish(running)
    with _other_end("mon", home) as (word, connect):
        running = home.start("replay", recording, "--serial", word)
        wire = connect()
        wire.send(SWITCH)
        with suppress(AssertionError):
            # The replay may be over before it is asked.
            wire.until(b"(dejavm) ")
            wire.send(b"info status\r")
        _finish(running)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("tty:/dev/null,modem=on", "modem lines of a real terminal cannot be recorded"),
        ("unix:/s,fd=3", "cannot be named in a recording"),
        ("/dev/null", "Inappropriate ioctl"),
        ("pipe:nothing", "mkfifo"),
        ("socket://127.0.0.1:1", "refused"),
        ("mon:null", "nobody types on null"),
    ],
)
def test_a_line_that_cannot_be_had_is_named_in_one_sentence(home: Home, word: str, says: str) -> None:
    running, recording = _start(home, word)
    done = running.finish()
    assert done.exit_code == EXIT_USAGE
    assert "serial0" in done.complaint
    assert says in done.complaint
    assert not recording.exists()


@pytest.mark.debian
@pytest.mark.timeout(240)
def test_a_shell_over_telnet_types_and_shows_and_a_break_reaches_the_kernel(home: Home) -> None:
    port = _free_port()
    recording = home.work / "a.dejavm"
    serial = f"telnet:127.0.0.1:{port},server=on"
    running = home.start("record", "--memory", "128M", "--serial", serial, "-o", recording)
    with closing(_dial(port)) as peer:
        wire = TelnetWire(peer.fileno(), peer.fileno())
        _await(wire, b"/ # ")
        wire.said = b""
        wire.send(b"echo t''yped\r")
        _await(wire, b"\ntyped")
        _await(wire, b"/ # ")
        wire.said = b""
        # The kernel takes the key behind a break for itself, and shows its help.
        os.write(wire.writer, bytes((Command.IAC, Command.BREAK)))
        wire.send(b"h")
        _await(wire, b"sysrq: HELP")
        wire.said = b""
        wire.send(b"grep -o 'brk:[0-9]*' /proc/tty/driver/serial\r")
        _await(wire, b"\nbrk:1")
        wire.send(b"exit\r")
        _await(wire, b"reboot: Power down")
        _finish(running)
    assert re.search(rb"sysrq: HELP", console(recording))
    home.verify_both_ways(recording)


def _await(wire: Wire, mark: bytes) -> None:
    """Like until(), with the patience that a boot needs."""
    deadline = time.monotonic() + BOOT_S
    while mark not in wire.said:
        assert time.monotonic() < deadline, wire.said[-300:]
        if select.select([wire.reader], [], [], 1.0)[0]:
            wire.said += wire.decode(os.read(wire.reader, 65536))
