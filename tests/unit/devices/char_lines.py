"""Character backends opened by a test and closed after it, and the other ends they are tested against."""

from __future__ import annotations

import socket
import termios
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from devices.backends import create_backend
from tests.harness.host_loop import HostLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devices.model import Backend

PATIENCE_S: Final = 10.0


class Opened:
    """Backends opened by a test, closed after it."""

    def __init__(self) -> None:
        self.backends: list[Backend] = []

    def __call__(self, backend: Backend | str) -> HostLoop:
        made = create_backend("char", backend, "serial0") if isinstance(backend, str) else backend
        self.backends.append(made)
        return HostLoop(made).open()


@pytest.fixture
def opened() -> Iterator[Opened]:
    """What opens backends."""
    all_opened = Opened()
    yield all_opened
    for backend in all_opened.backends:
        backend.close()
        backend.close()


def lflag(descriptor: int) -> int:
    """A terminal's local modes."""
    attributes: list[Any] = termios.tcgetattr(descriptor)
    return int(attributes[3])


def call(port: int) -> socket.socket:
    """A TCP connection to a port of this machine."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def take_all(user: socket.socket, loop: HostLoop, data: bytes) -> bytes:
    """Have a backend write everything while its peer reads slowly; what the peer has got."""
    taken, got = 0, b""
    user.settimeout(PATIENCE_S)
    while taken < len(data):
        result = loop.backend.write(data[taken:])
        assert result.error == 0
        taken += result.accepted
        got += user.recv(1 << 20)
        loop.serve()
    return got


def unused_port(kind: socket.SocketKind) -> int:
    """A port of this machine on which nobody listens."""
    with closing(socket.socket(socket.AF_INET, kind)) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
