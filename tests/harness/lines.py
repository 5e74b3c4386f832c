"""The other end of a guest's serial line, where it is a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


def await_text(line: socket.socket, text: bytes) -> None:
    """Read up to a text."""
    heard = b""
    while text not in heard:
        data = line.recv(4096)
        assert data, heard
        heard += data
