"""The serial line of a real machine on every backend."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import time
import tty
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from tests.harness.guests import guest
from tests.harness.machine import console, typed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = pytest.mark.system

PASTE_BYTES: Final = 64 * 1024
DEADLINE_S: Final = 30.0
HELLO: Final = b"hello\n"
END: Final = b"\x04"
STALL_S: Final = 1.5
"""Longer than the whole guest takes by far."""


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash, as the echo guest makes it."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


def _paste() -> bytes:
    """64 KiB of text in which every place can be told from every other."""
    return b"".join(b"%07d pasted.\n" % number for number in range(PASTE_BYTES))[:PASTE_BYTES]


def _connect(path: Path) -> socket.socket:
    """A connection to a machine's unix socket, once it is there."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(str(path))
        except OSError:
            peer.close()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        else:
            peer.settimeout(DEADLINE_S)
            return peer


def _receive_until(peer: socket.socket, mark: bytes, so_far: bytes = b"") -> bytes:
    while mark not in so_far:
        data = peer.recv(65536)
        assert data, so_far[-200:]
        so_far += data
    return so_far


def _read_until(fd: int, *marks: bytes, so_far: bytes = b"") -> bytes:
    """Read until one of the marks has come."""
    while not any(mark in so_far for mark in marks):
        assert select.select([fd], [], [], DEADLINE_S)[0], so_far[-200:]
        so_far += os.read(fd, 65536)
    return so_far


def _talk(peer: socket.socket) -> bytes:
    """Say hello to the echo guest and end it; what it said."""
    said = _receive_until(peer, b"READY\n")
    peer.sendall(HELLO)
    said = _receive_until(peer, b"HELLO\n", said)
    peer.sendall(END)
    return _receive_until(peer, b"PASS\n", said)


def _start(home: Home, serial: str, name: str = "echo") -> tuple[Running, Path]:
    recording = home.work / "a.dejavm"
    return home.start("record", "bare", "--kernel", guest(name), "--serial", serial, "-o", recording), recording


def _finish(running: Running, exit_code: int = 0) -> None:
    done = running.finish()
    assert done.exit_code == exit_code, done.stderr


@pytest.mark.parametrize("sleep", ["on", "off"])
def test_a_paste_of_64_kib_loses_no_byte(home: Home, sleep: str) -> None:
    path, recording, paste = home.work / "s", home.work / "a.dejavm", _paste()
    machine = ("record", "bare", "--kernel", guest("echo"), "--sleep", sleep, "-o", recording)
    running = home.start(*machine, "--serial", f"unix:{path},server=on")
    with closing(_connect(path)) as peer:
        said = _receive_until(peer, b"READY\n")
        peer.setblocking(False)
        left = paste + END
        while b"PASS\n" not in said:
            readable, writable, _ = select.select([peer], [peer] if left else [], [], DEADLINE_S)
            assert readable or writable
            if writable:
                left = left[peer.send(left) :]
            if readable:
                said += peer.recv(65536)
    _finish(running)
    assert typed(recording) == paste + END
    expected = b"READY\n" + paste.upper() + f"\ncount {PASTE_BYTES} fnv1a {fnv1a(paste):x}\nPASS\n".encode()
    assert said == expected
    assert console(recording) == expected
    home.verify_both_ways(recording)


def test_a_unix_server_waits_for_its_peer(home: Home) -> None:
    running, recording = _start(home, f"unix:{home.work / 's'},server=on")
    with closing(_connect(home.work / "s")) as peer:
        said = _talk(peer)
    _finish(running)
    assert console(recording) == said
    assert not (home.work / "s").exists()
    home.verify_both_ways(recording)


@pytest.mark.parametrize("wait", ["", ",wait=off"])
def test_a_tcp_server_says_its_port(home: Home, wait: str) -> None:
    running, recording = _start(home, f"tcp:127.0.0.1:0,server=on{wait}")
    assert running.process.stderr is not None
    told = running.process.stderr.readline().decode()
    port = int(re.findall(r":(\d+)", told)[-1])
    with closing(socket.create_connection(("127.0.0.1", port), DEADLINE_S)) as peer:
        if wait:
            # Who comes late does not hear what was said before.
            peer.sendall(HELLO + END)
            assert _receive_until(peer, b"PASS\n")
        else:
            _talk(peer)
    _finish(running)
    home.verify_both_ways(recording)


def test_a_tcp_client_calls_the_server(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        running, recording = _start(home, f"tcp:127.0.0.1:{server.getsockname()[1]}")
        with server.accept()[0] as peer:
            peer.settimeout(DEADLINE_S)
            said = _talk(peer)
    _finish(running)
    assert console(recording) == said
    home.verify_both_ways(recording)


def test_a_pseudo_terminal_says_its_name(home: Home) -> None:
    running, recording = _start(home, "pty")
    assert running.process.stderr is not None
    found = re.search(rb"/dev/pts/\d+", running.process.stderr.readline())
    assert found
    fd = os.open(found[0], os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(fd)
        # READY is lost if it was said before the other end was open, and what is sent before READY is lost too.
        os.write(fd, b"-")
        said = _read_until(fd, b"-", b"READY\n")
        if b"-" not in said:
            os.write(fd, b"-")
            said = _read_until(fd, b"-", so_far=said)
        os.write(fd, HELLO + END)
        said = _read_until(fd, b"PASS", so_far=said)
    finally:
        os.close(fd)
    _finish(running)
    assert b"HELLO" in said
    home.verify_both_ways(recording)


def test_a_file_holds_the_console(home: Home) -> None:
    running, recording = _start(home, "file:console", "traps")
    _finish(running)
    assert (home.work / "console").read_bytes() == console(recording)
    assert console(recording).endswith(b"PASS\n")


def test_a_pipe_is_a_serial_line(home: Home) -> None:
    running, recording = _start(home, "stdio")
    assert running.process.stdout is not None
    said = _read_until(running.process.stdout.fileno(), b"READY\n")
    done = running.finish(stdin=HELLO + END)
    assert done.exit_code == 0
    assert done.stdout == f"HELLO\n\ncount 6 fnv1a {fnv1a(HELLO):x}\nPASS\n"
    assert said + done.stdout.encode() == console(recording)
    home.verify_both_ways(recording)


def test_a_peer_that_reads_late_loses_nothing(home: Home) -> None:
    running, recording = _start(home, f"unix:{home.work / 's'},server=on", "chatter")
    with closing(_connect(home.work / "s")) as peer:
        said = _receive_until(peer, b"line 10000")
        # A megabyte does not fit into any buffer on the way, so the guest cannot come to its end.
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(STALL_S)
        said = _receive_until(peer, b"PASS\n", said)
    _finish(running)
    assert said.count(b"\n") == 20_001
    assert console(recording) == said
    home.verify_both_ways(recording)


def test_a_peer_that_goes_away_stops_nothing(home: Home) -> None:
    running, recording = _start(home, f"unix:{home.work / 's'},server=on", "chatter")
    with closing(_connect(home.work / "s")) as peer:
        _receive_until(peer, b"line 10000")
    _finish(running)
    assert console(recording).count(b"\n") >= 1
    home.verify_both_ways(recording)
