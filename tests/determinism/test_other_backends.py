"""A recording replays with its serial line on any backend, and the backend gets the recorded console."""

from __future__ import annotations

import re
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.harness.guests import echo_script, guest
from tests.harness.machine import console, final_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system


@pytest.fixture
def recording(home: Home) -> Path:
    """A session with the echo guest."""
    script = home.script(echo_script("hello", "0123456789" * 30))
    return home.record("bare", "--kernel", guest("echo"), "--serial", script)


class Listener:
    """A server that keeps what its one peer sends, in a thread of its own."""

    def __init__(self, server: socket.socket, says: bytes = b"") -> None:
        self._server = server
        self._says = says
        self._thread = threading.Thread(target=self._listen)
        self._received = b""
        self._thread.start()

    def received(self) -> bytes:
        """Everything, once the peer has hung up."""
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        return self._received

    def _listen(self) -> None:
        with self._server, self._server.accept()[0] as peer:
            peer.sendall(self._says)
            while data := peer.recv(65536):
                self._received += data


def _replay(home: Home, recording: Path, serial: str) -> None:
    done = home.run("replay", recording, "--serial", serial, "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["digest"] == final_digest(recording)


def test_every_device_may_have_another_backend_at_once(home: Home) -> None:
    script = home.script(echo_script("hello"))
    (home.work / "disk").write_bytes(bytes(1 << 20))
    devices = ("--nic", "user", "--input", "kbd", "--usb", "storage,file=disk", "--rng", "host")
    recording = home.record("bare", "--kernel", guest("echo"), "--serial", script, *devices)
    (home.work / "disk").unlink()
    server = socket.create_server(("127.0.0.1", 0))
    listener = Listener(server, says=b"what is said here is refused")
    words = (
        *("--serial", f"pyserial:socket://127.0.0.1:{server.getsockname()[1]}", "--nic", "pcap:out.pcapng"),
        *("--input", "none", "--usb", "none", "--rng", "seed=1"),
    )
    done = home.run("replay", recording, *words, "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["digest"] == final_digest(recording)
    assert listener.received() == console(recording)
    assert (home.work / "out.pcapng").exists()


def test_replayed_into_nothing(home: Home, recording: Path) -> None:
    _replay(home, recording, "null")


def test_replayed_into_a_file_which_then_holds_the_recorded_console(home: Home, recording: Path) -> None:
    _replay(home, recording, f"file:{home.work / 'console'}")
    assert (home.work / "console").read_bytes() == console(recording)


def test_replayed_to_a_tcp_server(home: Home, recording: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    listener = Listener(server)
    _replay(home, recording, f"tcp:127.0.0.1:{server.getsockname()[1]}")
    assert listener.received() == console(recording)


def test_replayed_to_a_unix_server(home: Home, recording: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(home.work / "socket"))
    server.listen()
    listener = Listener(server)
    _replay(home, recording, f"unix:{home.work / 'socket'}")
    assert listener.received() == console(recording)


def test_replayed_onto_a_pseudo_terminal(home: Home, recording: Path) -> None:
    running = home.start("replay", recording, "--serial", "pty", "--json")
    assert running.process.stderr is not None
    told = running.process.stderr.readline().decode()
    found = re.search(r"/dev/pts/\d+", told)
    assert found, told
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert done.json["digest"] == final_digest(recording)


def test_standard_output_shows_the_recorded_console(home: Home, recording: Path) -> None:
    done = home.run("replay", recording, "--serial", "stdio")
    assert done.exit_code == 0
    assert done.stdout.encode() == console(recording)
