"""A USB/IP device behind a port: real servers and real sockets, and servers that lie, hang and die."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.usb import multiplexer
from devices.backends.usb.usbip_client import MOST_UNANSWERED
from devices.usb.messages import (
    HostCompletion,
    HostDescription,
    HostSpeed,
    HostSubmit,
    HostUnlink,
    Kind,
    decode_data,
    decode_host_completion,
    decode_plugged,
    encode_host_request,
)
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop
from tests.harness.usbip_server import FAIL_REQUEST, HOST, VENDOR, make_keyboard, make_loopback, serving, tap
from tests.unit.devices.test_usbip_client import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devices.usb.messages import Plugged


class Host:
    """A controller with one USB/IP device, and what the model would ask of it."""

    def __init__(self, word: str) -> None:
        self.backend = create_backend("usb", word, "usb0")
        self.loop = HostLoop(self.backend).open()
        self.backend.advance(1 << 16)

    @property
    def plugged(self) -> list[Plugged]:
        """What has been plugged in so far."""
        return [decode_plugged(data) for event, data, _ in self.loop.events if event is HostEvent.OPENED]

    @property
    def completions(self) -> list[HostCompletion]:
        """What has become of transfers so far."""
        found = [decode_data(data) for event, data, _ in self.loop.events if event is HostEvent.DATA]
        return [decode_host_completion(message.data) for message in found]

    def ask(self, request: HostSubmit | HostUnlink) -> BackendResult:
        """Give a transfer to the backend."""
        return self.backend.write(encode_host_request(1, request))

    def do(self, request: HostSubmit) -> HostCompletion:
        """A transfer and how it ended."""
        assert self.ask(request).error == 0
        self.loop.until(lambda: any(completion.tag == request.tag for completion in self.completions))
        return next(completion for completion in self.completions if completion.tag == request.tag)

    def control(self, tag: int, kind: int, request: int, value: int, length: int) -> HostCompletion:
        """A control transfer without data to send."""
        setup = struct.pack("<BBHHH", kind, request, value, 0, length)
        return self.do(HostSubmit(tag, 0, inbound=bool(kind & 0x80), setup=setup, length=length if kind & 0x80 else 0))


@pytest.fixture
def start() -> Iterator[Callable[[str], Host]]:
    hosts: list[Host] = []

    def make(word: str) -> Host:
        hosts.append(Host(word))
        return hosts[-1]

    yield make
    for host in hosts:
        host.backend.close()


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A server that a test plays itself, and the word for its device."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener, f"usbip,host={HOST},port={listener.getsockname()[1]},busid=1-1.4"


class Played:
    """One connection of a server that a test plays: tests/unit/devices/test_usbip_client.py's, over a socket."""

    def __init__(self, host: Host, listener: socket.socket) -> None:
        self.host = host
        self.server = Server()
        self.peer = listener.accept()[0]
        assert self.take(40)[:4] == b"\x01\x11\x80\x03"

    def take(self, size: int) -> bytes:
        """Bytes of the client; the backend is served until they are there."""
        self.peer.setblocking(False)
        data = b""
        while len(data) < size:
            try:
                more = self.peer.recv(size - len(data))
                assert more, "the client has left"
                data += more
            except BlockingIOError:
                self.host.loop.serve(10_000)
        self.peer.setblocking(True)
        return data

    def attach(self) -> None:
        """Give the device away."""
        self.peer.sendall(self.server.imported())
        while not self.host.plugged:
            try:
                self.peer.setblocking(False)
                head = self.peer.recv(48)
            except BlockingIOError:
                self.host.loop.serve(10_000)
                continue
            self.peer.setblocking(True)
            self.server.client.outgoing[:] = head
            (command,) = self.server.commands()
            self.peer.sendall(self.server.ret(command, self.server.descriptor(command)))


@pytest.fixture
def played(start: Callable[[str], Host]) -> Iterator[Played]:
    """A device of a played server, plugged into a running machine."""
    with listening() as (listener, word):
        host = start("none")
        assert host.backend.take_word(word)
        connection = Played(host, listener)
        connection.attach()
        yield connection
        connection.peer.close()


def test_a_device_of_a_real_server_is_there_when_the_machine_starts(start: Callable[[str], Host]) -> None:
    device, _ = make_loopback()
    with serving(device) as port:
        host = start(f"usbip,host={HOST},port={port},busid=1-1")
        (plugged,) = host.plugged
        assert (plugged.port, plugged.kind) == (1, Kind.HOST)
        assert isinstance(plugged.description, HostDescription)
        assert plugged.description.speed == HostSpeed.HIGH
        assert plugged.description.device[8:12] == struct.pack("<HH", VENDOR, 4)
        assert plugged.description.configuration == device.config_bytes()


def test_a_name_is_looked_up_and_every_address_is_tried(
    start: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    device, _ = make_loopback()
    with serving(device) as port, socket.socket() as closed:
        closed.bind((HOST, 0))
        nobody, there = closed.getsockname(), (HOST, port)
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_a, **_k: [(socket.AF_INET, 1, 6, "", place) for place in (nobody, there)],
        )
        assert len(start(f"usbip,host=printer.example,port={port},busid=1-1").plugged) == 1


def test_control_bulk_and_interrupt_transfers(start: Callable[[str], Host]) -> None:
    device, loopback = make_loopback()
    with serving(device) as port:
        host = start(f"usbip,host={HOST},port={port},busid=1-1")
        assert host.control(1, 0x80, 6, 0x0100, 18).data[8:12] == struct.pack("<HH", VENDOR, 4)
        assert host.control(2, 0x00, 9, 1, 0) == HostCompletion(2)
        assert host.control(3, 0xC1, 1, 0, 5) == HostCompletion(3, 0, 5, b"\xa5" * 5)
        assert host.control(4, 0xC1, FAIL_REQUEST, 0, 5) == HostCompletion(4, -errno.EPIPE)
        assert host.ask(HostSubmit(5, 2, inbound=True, length=512)).error == 0
        assert host.ask(HostSubmit(6, 3, inbound=True, length=8)).error == 0
        assert host.do(HostSubmit(7, 1, inbound=False, length=300, data=b"x" * 300)) == HostCompletion(7, 0, 300)
        host.loop.until(lambda: HostCompletion(5, 0, 300, b"x" * 300) in host.completions)
        loopback.interrupt_in.write(b"tick")
        host.loop.until(lambda: HostCompletion(6, 0, 4, b"tick") in host.completions)
        big = bytes(range(256)) * 512
        assert host.do(HostSubmit(8, 1, inbound=False, length=len(big), data=big)).actual == len(big)
        assert host.do(HostSubmit(9, 2, inbound=True, length=len(big))).data == big


def test_a_transfer_that_waits_is_unlinked_and_the_next_one_gets_the_data(start: Callable[[str], Host]) -> None:
    device, keyboard = make_keyboard()
    with serving(device) as port:
        host = start(f"usbip,host={HOST},port={port},busid=1-1")
        host.ask(HostSubmit(1, 1, inbound=True, length=8))
        assert host.ask(HostUnlink(1)).error == 0
        host.ask(HostSubmit(2, 1, inbound=True, length=8))
        host.control(3, 0x80, 6, 0x0100, 18)
        tap(keyboard, 4)
        host.loop.until(lambda: len(host.completions) == 2)
        assert host.completions[1] == HostCompletion(2, 0, 8, bytes((0, 0, 4, 0, 0, 0, 0, 0)))


def test_two_devices_of_one_server(start: Callable[[str], Host]) -> None:
    with serving(make_loopback()[0], make_keyboard()[0]) as port:
        host = start(f"usbip,host={HOST},port={port},busid=1-2;none;usbip,host={HOST},port={port},busid=1-1")
        speeds = [(plugged.port, plugged.description.speed) for plugged in host.plugged if plugged.description]  # type: ignore[union-attr]
        assert speeds == [(1, HostSpeed.FULL), (3, HostSpeed.HIGH)]


def test_a_busid_that_the_server_does_not_have_stops_the_start() -> None:
    with (
        serving(make_loopback()[0]) as port,
        pytest.raises(BackendError, match=r"USB/IP device 9-9 at .* does not give"),
    ):
        Host(f"usbip,host={HOST},port={port},busid=9-9")


def test_a_server_that_is_not_there_stops_the_start_and_a_change() -> None:
    with socket.socket() as closed:
        closed.bind((HOST, 0))
        word = f"usbip,host={HOST},port={closed.getsockname()[1]},busid=1-1"
        with pytest.raises(BackendError, match=r"usb0 port 1: USB/IP device 1-1 at .*: Connection refused"):
            Host(word)
        host = Host("none")
        with pytest.raises(BackendError, match=r"usb0 port 2: USB/IP device 1-1 at .*: Connection refused"):
            host.backend.take_word(f"kbd;{word}")
        assert host.loop.events == []
        host.backend.close()


def test_a_host_that_nobody_knows_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BackendError, match=r"no host nowhere\.example is known"):
        Host("usbip,host=nowhere.example,busid=1-1")


def test_a_server_that_says_nothing_does_not_hold_a_start_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexer, "APPEAR_S", 0.1)
    with listening() as (_, word), pytest.raises(BackendError, match=r"usb0 port 1: usbip,.* has not appeared in 0 s"):
        Host(word)


def test_a_device_plugged_in_while_the_machine_runs_appears_when_the_server_has_answered(played: Played) -> None:
    (plugged,) = played.host.plugged
    assert plugged.kind is Kind.HOST
    assert played.host.loop.kinds() == [HostEvent.OPENED]


def test_a_server_that_dies_is_a_device_that_is_pulled_out(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    host = played.host
    host.ask(HostSubmit(1, 1, inbound=True, length=8))
    played.peer.close()
    host.loop.until_kinds(HostEvent.CLOSED)
    assert host.loop.events[-1] == (HostEvent.CLOSED, b"\1", 0)
    assert "usb0 port 1: unplugged: USB/IP device 1-1.4" in caplog.text
    assert host.backend.descriptors(99) == []
    assert host.ask(HostSubmit(2, 1, inbound=True, length=8)).error == 0
    assert host.completions == []


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(b"\0" * 48, id="no command"),
        pytest.param(struct.pack(">IIIII iiIII8x", 3, 99, 0, 0, 0, 0, 0, 0, 0, 0), id="no such transfer"),
        pytest.param(struct.pack(">IIIII iiIII8x", 3, 6, 0, 0, 0, 0, 1 << 30, 0, 0, 0), id="a gigabyte"),
        pytest.param(b"\xff" * 100_000, id="rubbish"),
    ],
)
def test_a_server_that_lies_loses_its_device(played: Played, lie: bytes) -> None:
    played.host.ask(HostSubmit(1, 1, inbound=True, length=8))
    played.peer.sendall(lie)
    played.host.loop.until_kinds(HostEvent.CLOSED)
    assert played.host.completions == []


def test_half_a_message_is_waited_for_and_nothing_stands_still(played: Played) -> None:
    host = played.host
    host.ask(HostSubmit(1, 1, inbound=True, length=8))
    played.server.client.outgoing[:] = played.take(48)
    (command,) = played.server.commands()
    answer = played.server.ret(command, b"whole")
    played.peer.sendall(answer[:50])
    host.loop.serve(10_000)
    assert not host.loop.serve()
    assert host.ask(HostSubmit(2, 1, inbound=True, length=8)).error == 0
    played.peer.sendall(answer[50:])
    host.loop.until(lambda: host.completions == [HostCompletion(1, 0, 5, b"whole")])


def test_a_server_that_stalls_makes_transfers_fail_and_says_so_once(
    played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    host, data = played.host, bytes(1 << 17)
    errors = [host.ask(HostSubmit(tag, 2, inbound=False, length=len(data), data=data)).error for tag in range(500)]
    assert set(errors) == {0, errno.EBUSY}
    assert errors.count(0) <= MOST_UNANSWERED
    assert caplog.text.count("does not answer; transfers fail") == 1
    assert HostEvent.CLOSED not in host.loop.kinds()
    host.backend.take_word("none")
    assert host.loop.kinds()[-1] is HostEvent.CLOSED


def test_a_request_that_is_none_is_refused(played: Played) -> None:
    for message in (b"\1", b"\1\1", b"\1\7" + bytes(30), b"\1\1" + bytes(5)):
        assert played.host.backend.write(message) == BackendResult(0, errno.EINVAL)


def test_a_change_before_the_server_has_answered_forgets_it(start: Callable[[str], Host]) -> None:
    with listening() as (listener, word):
        host = start("none")
        host.backend.take_word(word)
        host.backend.take_word(word)
        host.backend.take_word("kbd")
        peer = listener.accept()[0]
        assert [plugged.kind for plugged in host.plugged] == [Kind.KEYBOARD]
        assert host.backend.descriptors(99) == []
        while peer.recv(100):
            pass
        peer.close()


def test_at_replay_no_transfer_reaches_the_server(start: Callable[[str], Host]) -> None:
    device, loopback = make_loopback()
    with serving(device) as port:
        backend = create_backend("usb", f"usbip,host={HOST},port={port},busid=1-1", "usb0")
        HostLoop(backend).open()
        message = encode_host_request(1, HostSubmit(1, 1, inbound=False, length=2, data=b"no"))
        assert backend.write(message) == BackendResult(len(message))
        backend.close()
        assert not loopback.bulk_in._q


@settings(max_examples=40, deadline=None)
@given(script=st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(["attach", "ask", "unlink"])), max_size=8))
def test_whatever_a_server_says_the_machine_goes_on(script: list[bytes | str]) -> None:
    with listening() as (listener, word):
        host = Host("none")
        host.backend.take_word(word)
        connection = Played(host, listener)
        for number, step in enumerate(script):
            match step:
                case bytes():
                    with suppress(ConnectionError):
                        connection.peer.sendall(step)
                case "attach" if not host.plugged and HostEvent.CLOSED not in host.loop.kinds() and number == 0:
                    connection.attach()
                case "ask":
                    host.ask(HostSubmit(number, 1, inbound=True, length=64))
                case _:
                    host.ask(HostUnlink(max(0, number - 1)))
            while host.loop.serve():
                pass
        connection.peer.close()
        for _ in range(100):
            if not host.backend.descriptors(99):
                break
            host.loop.serve(100)
        assert host.backend.descriptors(99) == []
        assert host.loop.kinds().count(HostEvent.OPENED) == host.loop.kinds().count(HostEvent.CLOSED) <= 1
        host.backend.close()
