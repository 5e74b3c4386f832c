"""Ports that pyserial has a URL for, against real sockets, servers and terminals."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import serial
import serial.rfc2217

from devices.backends.char.pump import HELD_BYTES
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.harness.machine import ROOT
from tests.unit.devices.char_lines import PATIENCE_S, Opened, opened, unused_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.host_loop import HostLoop

__all__ = ["opened"]

PASTE: Final = bytes(range(256)) * 256


@contextmanager
def listening() -> Iterator[tuple[str, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


def accept(listener: socket.socket) -> socket.socket:
    peer = listener.accept()[0]
    peer.settimeout(PATIENCE_S)
    return peer


def write_all(loop: HostLoop, data: bytes) -> None:
    while data:
        result = loop.backend.write(data)
        assert result.error == 0
        data = data[result.accepted :]
        if data:
            writable = loop.kinds().count(HostEvent.WRITABLE) + 1
            loop.until_kinds(HostEvent.WRITABLE, writable)


def test_a_loop_brings_back_what_was_said(opened: Opened) -> None:
    loop = opened("loop://")
    loop.room = 16
    left = PASTE
    while len(loop.received) < len(PASTE):
        result = loop.backend.write(left)
        left = left[result.accepted :]
        # The device has handled a message and has room again.
        before = len(loop.received)
        loop.backend.advance(256)
        if len(loop.received) == before:
            loop.serve(10)
    assert loop.received == PASTE


def test_a_raw_socket_goes_both_ways_and_may_hang_up(opened: Opened) -> None:
    with listening() as (place, listener):
        loop = opened(f"socket://{place}")
        with accept(listener) as peer:
            peer.sendall(b"typed")
            loop.until_received(b"typed")
            assert loop.backend.write(b"shown") == BackendResult(5)
            assert peer.recv(99) == b"shown"
        loop.until_kinds(HostEvent.CLOSED)
    assert loop.backend.descriptors(9) == ()
    assert loop.backend.write(b"dropped") == BackendResult(7)


def test_what_was_said_before_a_hang_up_comes_in(opened: Opened) -> None:
    with listening() as (place, listener):
        loop = opened(f"socket://{place}")
        with accept(listener) as peer:
            peer.sendall(b"last words")
        loop.until_kinds(HostEvent.CLOSED)
        assert loop.received == b"last words"


def test_a_terminal_has_the_speed_that_was_asked_for(opened: Opened) -> None:
    far, near = os.openpty()
    loop = opened(f"pyserial:{os.ttyname(near)},speed=2400")
    assert serial.Serial(os.ttyname(near), 2400).baudrate == 2400
    os.write(far, b"typed")
    loop.until_received(b"typed")
    write_all(loop, b"shown")
    assert os.read(far, 99) == b"shown"
    loop.backend.close()
    os.close(near)
    os.close(far)


def serve_rfc2217(listener: socket.socket, port: Any) -> None:
    """One RFC 2217 session, echoing through a loop, until the client goes."""
    with accept(listener) as peer:
        lock = threading.Lock()

        class Locked:
            def write(self, data: bytes) -> None:
                with lock:
                    peer.sendall(data)

        connection: Any = Locked()
        manager = serial.rfc2217.PortManager(port, connection)
        while data := peer.recv(1024):
            port.write(b"".join(manager.filter(data)))
            answer = port.read(port.in_waiting)
            connection.write(b"".join(manager.escape(answer)))


# pyserial is older than the attributes.
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
def test_a_server_of_rfc_2217_is_a_line(opened: Opened) -> None:
    with listening() as (place, listener):
        port = serial.serial_for_url("loop://", timeout=0)
        server = threading.Thread(target=serve_rfc2217, args=(listener, port), daemon=True)
        server.start()
        loop = opened(f"rfc2217://{place},speed=19200")
        assert port.baudrate == 19200
        write_all(loop, PASTE[:3000])
        loop.until(lambda: len(loop.received) == 3000)
        assert loop.received == PASTE[:3000]
        loop.backend.close()
        server.join(PATIENCE_S)
        assert not server.is_alive()


def test_a_reader_that_is_slow_holds_the_line_and_loses_nothing(opened: Opened) -> None:
    with listening() as (place, listener):
        loop = opened(f"socket://{place}")
        with accept(listener) as peer:
            taken = 0
            while result := loop.backend.write(b"x" * (1 << 20)).accepted:
                taken += result
                loop.serve(500)
            assert taken > HELD_BYTES
            got = 0
            while got < taken:
                got += len(peer.recv(1 << 20))
            loop.until(lambda: HostEvent.WRITABLE in loop.kinds())
            assert loop.backend.write(b"more") == BackendResult(4)
            assert peer.recv(9) == b"more"


def test_a_sender_that_floods_is_held_and_loses_nothing(opened: Opened) -> None:
    with listening() as (place, listener):
        loop = opened(f"socket://{place}")
        loop.room = 0
        with accept(listener) as peer:
            data = PASTE[: 1 << 16]
            sender = threading.Thread(target=peer.sendall, args=(data,))
            sender.start()
            for _ in range(5):
                loop.serve(20)
            assert loop.received == b""
            while len(loop.received) < len(data):
                loop.backend.advance(256)
                loop.serve(1)
            sender.join(PATIENCE_S)
            assert loop.received == data


def test_what_was_taken_is_still_written_when_the_line_is_closed(opened: Opened) -> None:
    with listening() as (place, listener):
        loop = opened(f"socket://{place}")
        with accept(listener) as peer:
            assert loop.backend.write(PASTE[:HELD_BYTES]) == BackendResult(HELD_BYTES)
            loop.backend.close()
            got = b""
            while piece := peer.recv(1 << 16):
                got += piece
            assert got == PASTE[:HELD_BYTES]


REFUSALS = 5
"""So many in a row, each a tenth of a second after the other: everything on the way is full."""


def test_a_port_that_takes_nothing_does_not_keep_us(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    # Nobody reads a loop's 4096 bytes when the device has no room.
    loop = opened("loop://")
    loop.room = 0
    refused = 0
    while refused < REFUSALS:
        refused = 0 if loop.backend.write(b"x" * (1 << 17)).accepted else refused + 1
        loop.serve(100)
    loop.backend.close()
    assert "what it has not taken in time is lost" in caplog.text


def test_a_port_that_cannot_be_had_is_named(opened: Opened) -> None:
    refused = unused_port(socket.SOCK_STREAM)
    with pytest.raises(BackendError, match=f"serial0: cannot open socket://127.0.0.1:{refused}: .*refused"):
        opened(f"socket://127.0.0.1:{refused}")
    with pytest.raises(BackendError, match="serial0: cannot open nonsense://x: "):
        opened("pyserial:nonsense://x")
    with pytest.raises(BackendError, match=r"serial0: cannot open loop://[?]x=1: "):
        opened("loop://?x=1")
    with pytest.raises(BackendError, match="serial0: cannot open /dev/no-such-tty: "):
        opened("pyserial:/dev/no-such-tty")


def test_rare_backends_cost_the_common_ones_nothing() -> None:
    code = (
        "import sys; from devices.backends import create_backend; import devices.backends.char.mux; "
        "create_backend('char', 'null', 's'); create_backend('char', 'mon:stdio', 's'); "
        "sys.exit(any(m in sys.modules for m in ('serial', 'socket', 'threading', 'devices.backends.char.stream')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=False).returncode == 0
