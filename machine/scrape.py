"""Metrics over HTTP on the loopback, served from the process's own loop: one descriptor, and never a wait.

Lives here: the little of HTTP/1.1 (RFC 9112) that a scrape needs.
Never here: what is counted (machine/meter.py).
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from machine.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK: Final = "127.0.0.1"
MOST_CLIENTS: Final = 8
LONGEST_REQUEST: Final = 8192
PATHS: Final = (b"/metrics", b"/")


class _Client:
    """One connection: a request, then its answer, then nothing."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.request = b""
        self.answer: bytes | None = None


class ScrapeServer:
    """Listens at a port of the loopback, 0 for any; BackendError if it cannot."""

    def __init__(self, port: int, render: Callable[[], bytes]) -> None:
        self._render = render
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            self._listener.close()
            raise BackendError(f"metrics: cannot listen at {LOOPBACK}:{port}: {error}; give another port") from error
        self._listener.listen(MOST_CLIENTS)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._clients: dict[int, _Client] = {}

    @property
    def descriptor(self) -> int:
        """Readable when serve() has something to do."""
        return self._epoll.fileno()

    @property
    def address(self) -> str:
        """Where it listens, HOST:PORT."""
        return f"{LOOPBACK}:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Do what can be done now."""
        for descriptor, _ in self._epoll.poll(0):
            if descriptor == self._listener.fileno():
                self._accept()
            elif descriptor in self._clients:
                self._go_on(descriptor, self._clients[descriptor])

    def close(self) -> None:
        """Hang up."""
        for descriptor in list(self._clients):
            self._drop(descriptor)
        self._listener.close()
        self._epoll.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        peer.setblocking(False)
        if len(self._clients) >= MOST_CLIENTS:
            self._drop(next(iter(self._clients)))
        self._clients[peer.fileno()] = _Client(peer)
        self._epoll.register(peer.fileno(), select.EPOLLIN)

    def _go_on(self, descriptor: int, client: _Client) -> None:
        try:
            if client.answer is None:
                data = client.peer.recv(LONGEST_REQUEST)
                client.request += data
                if not data or len(client.request) > LONGEST_REQUEST:
                    self._drop(descriptor)
                    return
                if b"\r\n\r\n" not in client.request:
                    return
                client.answer = self._answer(client.request)
                self._epoll.modify(descriptor, select.EPOLLOUT)
            client.answer = client.answer[client.peer.send(client.answer) :]
        except BlockingIOError:
            return
        except OSError:
            self._drop(descriptor)
            return
        if not client.answer:
            self._drop(descriptor)

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method != b"GET" or path not in PATHS:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        body = self._render()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    def _drop(self, descriptor: int) -> None:
        client = self._clients.pop(descriptor)
        with suppress(OSError):
            self._epoll.unregister(descriptor)
        client.peer.close()
