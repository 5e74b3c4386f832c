"""The ports of the USB controller behind one backend: plugging, unplugging, keyboards, serial lines, replays."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends import create_backend
from devices.backends.usb.input import InputPort
from devices.usb.messages import (
    PORTS,
    Kind,
    Plugged,
    PortData,
    StorageDescription,
    What,
    decode_data,
    decode_plugged,
    decode_unplugged,
    encode_data,
)
from machine.errors import BackendError
from machine.input_events import EV_KEY, EV_LED, Event, pack_group, unpack_events
from machine.message import BackendResult, HostEvent
from tests.harness.host_loop import HostLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devices.model import Backend


@pytest.fixture
def start() -> Iterator[Callable[..., HostLoop]]:
    """start(word, live=True) opens a controller's backend; it is closed after the test."""
    opened: list[Backend] = []

    def open_word(word: str, *, live: bool = True) -> HostLoop:
        backend = create_backend("usb", word, "usb0")
        opened.append(backend)
        loop = HostLoop(backend).open()
        if live:
            backend.advance(1 << 16)
        return loop

    yield open_word
    for backend in opened:
        backend.close()


def said(loop: HostLoop) -> list[Plugged | PortData | int | HostEvent]:
    """What has been submitted, decoded: an unplugged port is its number."""
    found: list[Plugged | PortData | int | HostEvent] = []
    for event, data, _ in loop.events:
        match event:
            case HostEvent.OPENED:
                found.append(decode_plugged(data))
            case HostEvent.CLOSED:
                found.append(decode_unplugged(data))
            case HostEvent.DATA:
                found.append(decode_data(data))
            case other:
                found.append(other)
    return found


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("toaster", "usb0 port 1: unknown USB device 'toaster' .known: none, kbd"),
        ("kbd;none;mouse,sript=x", "usb0 port 3: unknown option 'sript'"),
        ("kbd,script=a,evdev=b", "usb0 port 1: write script=FILE, or evdev=DEVICE"),
        ("kbd,grab=off", "usb0 port 1: write script=FILE, or evdev=DEVICE"),
        ("storage", "usb0 port 1: storage needs file=PATH"),
        ("storage,file=x,logical_block_size=513", "logical_block_size is one of 512, 1024, 2048, 4096"),
        ("storage,file=x,delay=fast", "write delay=LOW-HIGHms"),
        ("storage,file=x,delay=5-1ms", "from low to high"),
        ("storage,file=x,readonly=perhaps", "neither on nor off"),
        ("serial,teletype", "usb0 port 1: unknown backend 'teletype'"),
        ("usbip,host=h", "usbip needs busid="),
        ("usbip,busid=1-1", "usbip needs host="),
        ("usbip,host=h,busid=1-1,port=99999", "port: '99999' is not a number from 1 to 65535"),
        (f"usbip,host=h,busid={'1' * 32}", "is too long"),
        (";".join(["kbd"] * (PORTS + 1)), f"usb0: {PORTS + 1} USB ports are asked for; there are {PORTS}"),
    ],
)
def test_a_wrong_word_says_what_would_be_right(word: str, says: str) -> None:
    with pytest.raises(BackendError, match=says):
        create_backend("usb", word, "usb0")


def test_everything_is_plugged_in_from_the_first_port_on(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    image = tmp_path / "disk,one"
    image.write_bytes(bytes(8192))
    loop = start(f"kbd;none;mouse;;storage,file={str(image).replace(',', ',,')},readonly=on;serial,null")
    assert said(loop) == [
        Plugged(1, Kind.KEYBOARD),
        Plugged(3, Kind.MOUSE),
        Plugged(5, Kind.STORAGE, StorageDescription(8192, 512, read_only=True)),
        Plugged(6, Kind.SERIAL),
    ]


def test_when_one_cannot_be_had_nothing_is_held(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(512))
    backend = create_backend(
        "usb", f"storage,file={image};serial,unix:{tmp_path}/line,server=on;storage,file=/no", "usb0"
    )
    loop = HostLoop(backend)
    with pytest.raises(BackendError, match="usb0 port 3: cannot open image /no: No such file"):
        loop.open()
    assert loop.events == []
    assert not (tmp_path / "line").exists()
    again = HostLoop(create_backend("usb", f"storage,file={image}", "usb0")).open()
    again.backend.close()


def test_output_to_a_port_with_nothing_in_it_is_taken(start: Callable[..., HostLoop]) -> None:
    loop = start("kbd")
    for message in (b"", b"\x00", b"\x02hello", b"\xff" * 9):
        assert loop.backend.write(message) == BackendResult(len(message))


def test_a_word_that_changes_one_port_leaves_the_others_alone(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    line = f"serial,unix:{tmp_path}/line,server=on,wait=off"
    loop = start(f"kbd;{line};mouse")
    loop.events.clear()
    with socket.socket(socket.AF_UNIX) as user:
        user.connect(f"{tmp_path}/line")
        loop.until(lambda: said(loop) == [PortData(2, What.CARRIER_ON)])
        loop.events.clear()
        assert loop.backend.take_word(f"none;{line};kbd;mouse")
        assert said(loop) == [1, 3, Plugged(3, Kind.KEYBOARD), Plugged(4, Kind.MOUSE)]
        loop.events.clear()
        user.sendall(b"still here")
        loop.until(lambda: said(loop) == [PortData(2, What.DATA, b"still here")])
        loop.events.clear()
        assert loop.backend.take_word("none")
        assert said(loop) == [2, 3, 4]
        assert user.recv(1) == b""
    assert loop.backend.descriptors(99) == []


@pytest.mark.parametrize("word", ["kbd;toaster", "mouse;storage,file=/no/such/image", "kbd;" * 9])
def test_a_word_that_cannot_be_leaves_everything_as_it_is(start: Callable[..., HostLoop], word: str) -> None:
    loop = start("kbd;mouse")
    loop.events.clear()
    with pytest.raises(BackendError):
        loop.backend.take_word(word)
    assert loop.events == []
    assert loop.backend.take_word("kbd;mouse")
    assert loop.events == []


def test_a_change_closes_what_it_has_opened_when_it_fails(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    loop = start("kbd")
    with pytest.raises(BackendError):
        loop.backend.take_word(f"kbd;serial,unix:{tmp_path}/line,server=on,wait=off;storage,file=/no")
    assert not (tmp_path / "line").exists()
    assert loop.backend.descriptors(99) == []


def test_a_serial_line_says_what_its_backend_says(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    loop = start(f"serial,unix:{tmp_path}/line,server=on", live=False)
    backend = loop.backend
    assert backend.waiting()
    with socket.socket(socket.AF_UNIX) as user:
        user.connect(f"{tmp_path}/line")
        loop.until(lambda: not backend.waiting())
        backend.advance(99)
        user.sendall(b"abcdef")
        loop.room = 6
        loop.until(lambda: len(loop.events) == 3)
        assert said(loop)[2] == PortData(1, What.DATA, b"abcd")
        assert len(loop.events[2][1]) == loop.room
        loop.room = 2
        assert not loop.serve()
        assert backend.write(b"\x01hello") == BackendResult(6)
        assert user.recv(99) == b"hello"
        blocked = backend.write(b"\x01" + b"x" * (1 << 24))
        assert 0 < blocked.accepted < 1 << 24
        taken = 0
        while taken < blocked.accepted - 1:
            taken += len(user.recv(1 << 20))
        loop.until(lambda: PortData(1, What.WRITABLE) in said(loop))
    loop.room = 99
    loop.until(lambda: said(loop)[-2:] == [PortData(1, What.DATA, b"ef"), PortData(1, What.CARRIER_OFF)])
    assert said(loop)[:2] == [Plugged(1, Kind.SERIAL), PortData(1, What.CARRIER_ON)]


def test_an_error_of_a_serial_line_is_the_results(start: Callable[..., HostLoop]) -> None:
    assert start("serial,file:/dev/full").backend.write(b"\x01abc") == BackendResult(1, errno.ENOSPC)


def test_a_script_on_a_serial_adapter_reacts_while_the_message_is_handled(
    start: Callable[..., HostLoop], tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text('expect login\ndelay 5ms\nsend "root\\n"\nquit\n')
    loop = start(f"none;serial,script:{script}")
    assert loop.backend.write(b"\x02login: ") == BackendResult(8)
    assert len(loop.events) == 1
    loop.backend.advance(5)
    assert loop.events[1:] == [(HostEvent.DATA, encode_data(PortData(2, What.DATA, b"roo")), 5_000_000)]
    loop.backend.advance(99)
    assert said(loop)[2] == PortData(2, What.DATA, b"t\n")
    loop.backend.advance(99)
    assert loop.backend.wants_quit()


def test_ports_share_the_room_of_one_message(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('expect go\nsend "123456"\n')
    loop = start(f"serial,script:{script};serial,script:{script}")
    for port in (1, 2):
        loop.backend.write(bytes((port,)) + b"go")
    loop.events.clear()
    loop.backend.advance(12)
    assert said(loop) == [PortData(1, What.DATA, b"123456"), PortData(2, What.DATA, b"12")]


def test_a_keyboards_script_types_and_is_told_of_deliveries(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    script = tmp_path / "keys"
    script.write_text("key a down\ndelay 1ms\nkey a up\n")
    loop = start(f"none;kbd,script={script}")
    first = PortData(2, What.DATA, pack_group((Event(EV_KEY, 30, 1),)))
    assert said(loop) == [Plugged(2, Kind.KEYBOARD), first]
    loop.backend.advance(99)
    assert len(loop.events) == 2
    loop.backend.passed(encode_data(first), 7, inbound=True)
    loop.backend.advance(99)
    second = PortData(2, What.DATA, pack_group((Event(EV_KEY, 30, 0),)))
    assert loop.events[2:] == [(HostEvent.DATA, encode_data(second), 1_000_000)]


def test_a_keyboards_lights_are_events_for_its_source() -> None:
    written: list[bytes] = []

    class Lamp:
        def write(self, data: bytes) -> BackendResult:
            written.append(data)
            return BackendResult(len(data))

    port = InputPort(Kind.KEYBOARD, Lamp())  # type: ignore[arg-type]
    assert port.write(b"\x01\x05") == BackendResult(2)
    rows = unpack_events(written[0])
    assert [(row.code, row.value) for row in rows if row.type == EV_LED] == [(0, 1), (1, 0), (2, 1), (3, 0), (4, 0)]
    assert port.write(b"\x01") == BackendResult(1)
    assert len(written) == 1


def test_at_replay_a_slow_line_asks_for_the_whole_message_again(start: Callable[..., HostLoop], tmp_path: Path) -> None:
    loop = start(f"kbd;serial,unix:{tmp_path}/line,server=on,wait=off", live=False)
    with socket.socket(socket.AF_UNIX) as user:
        user.connect(f"{tmp_path}/line")
        loop.until(lambda: PortData(2, What.CARRIER_ON) in said(loop))
        big = b"\x02" + b"x" * (1 << 22)
        assert loop.backend.write(big) == BackendResult(len(big))
        assert loop.backend.write(b"\x02tail") == BackendResult(0)
        taken = bytearray()
        user.setblocking(False)
        while HostEvent.WRITABLE not in loop.kinds():
            loop.serve(1000)
            while True:
                try:
                    taken += user.recv(1 << 20)
                except BlockingIOError:
                    break
        assert loop.backend.write(b"\x02tail") == BackendResult(5)
        user.setblocking(True)
        while len(taken) < len(big) - 1 + 4:
            taken += user.recv(1 << 20)
    assert taken == big[1:] + b"tail"


def test_nothing_is_owed_to_a_port_that_was_closed_in_the_same_round(
    start: Callable[..., HostLoop], tmp_path: Path
) -> None:
    loop = start(f"serial,unix:{tmp_path}/line,server=on,wait=off")
    ((descriptor, _, _),) = loop.backend.descriptors(99)
    loop.backend.take_word("none")
    loop.events.clear()
    loop.backend.ready(descriptor, True, True, 99)
    assert loop.events == []


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(["none", "", "kbd", "mouse", "serial,null", "toaster"]), max_size=PORTS),
    changes=st.lists(
        st.lists(st.sampled_from(["none", "kbd", "mouse", "serial,null", "x"]), max_size=PORTS), max_size=5
    ),
    outputs=st.lists(st.binary(max_size=40), max_size=10),
)
def test_what_the_guest_sees_is_always_what_the_last_good_word_says(
    words: list[str], changes: list[list[str]], outputs: list[bytes]
) -> None:
    kinds = {"kbd": Kind.KEYBOARD, "mouse": Kind.MOUSE, "serial,null": Kind.SERIAL}
    plugged: dict[int, Kind] = {}
    good = [word for word in words if word != "toaster"]
    loop = HostLoop(create_backend("usb", ";".join(good) or "none", "usb0")).open()
    loop.backend.advance(99)
    current = good
    for change in [good, *changes]:
        try:
            loop.backend.take_word(";".join(change) or "none")
            current = change
        except BackendError:
            assert "x" in change
        for message in said(loop):
            if isinstance(message, Plugged):
                assert message.port not in plugged
                plugged[message.port] = message.kind
            elif isinstance(message, int):
                del plugged[message]
        loop.events.clear()
        assert plugged == {n: kinds[word] for n, word in enumerate(current, 1) if word in kinds}
        for output in outputs:
            result = loop.backend.write(output)
            assert 0 <= result.accepted <= len(output)
    loop.backend.close()


def test_behind_a_death_everything_is_pulled_out_and_what_can_be_had_is_plugged_in_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = f"serial,unix:{tmp_path}/line,server=on"
    backend = create_backend("usb", f"kbd;storage,file={tmp_path}/gone;none;{line}", "usb0")
    loop = HostLoop(backend).resume()
    try:
        assert backend.replugs
        pulled_out = [*range(1, PORTS + 1)]
        assert said(loop) == [*pulled_out, Plugged(1, Kind.KEYBOARD), Plugged(4, Kind.SERIAL)]
        assert f"not plugged in again: usb0 port 2: cannot open image {tmp_path}/gone" in caplog.text
        # The machine has run before: nobody is waited for.
        assert not backend.waiting()
        (tmp_path / "gone").write_bytes(bytes(512))
        loop.events.clear()
        assert backend.take_word(f"kbd;storage,file={tmp_path}/gone;none;{line}")
        assert said(loop) == [Plugged(2, Kind.STORAGE, StorageDescription(512, 512))]
    finally:
        backend.close()
