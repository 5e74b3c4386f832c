"""Ports of the loopback for tests."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that is free, and so is the next one, a moment ago."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
