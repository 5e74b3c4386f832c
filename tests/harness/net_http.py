"""A web server on the host's loopback (or elsewhere) that sends one file, at once or when a test lets it go on."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S: Final = 90.0


class WebServer:
    """What has been asked of it, and how far it may go; `port` is where it listens."""

    def __init__(
        self, content: bytes, first: int | None, pace: threading.Semaphore | None, pieces: int, host: str
    ) -> None:
        self.content = content
        self.requests: list[str] = []
        self.first = len(content) if first is None else first
        """Bytes that are sent at once; the others wait for `rest`."""
        self.sent_first = threading.Event()
        self.rest = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self) -> None:
                """Send the file, whatever it is called."""
                server.requests.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                if pace is not None:
                    self._send_at(pace)
                    return
                self.wfile.write(server.content[: server.first])
                server.sent_first.set()
                if server.first < len(server.content):
                    server.rest.wait(DEADLINE_S)
                    self.wfile.write(server.content[server.first :])

            def _send_at(self, pace: threading.Semaphore) -> None:
                size = -(-len(server.content) // pieces)
                for start in range(0, len(server.content), size):
                    pace.acquire(timeout=DEADLINE_S)
                    self.wfile.write(server.content[start : start + size])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name for it
                """Nothing is said."""

        self.http = ThreadingHTTPServer((host, 0), Handler)
        self.port = int(self.http.server_address[1])

    @property
    def sha256(self) -> str:
        """The file's."""
        return hashlib.sha256(self.content).hexdigest()


@contextmanager
def serving(
    content: bytes,
    first: int | None = None,
    pace: threading.Semaphore | None = None,
    pieces: int = 1,
    host: str = "127.0.0.1",
) -> Iterator[WebServer]:
    """A server for as long as the block runs; with `pace` the file goes in pieces, each when it may."""
    server = WebServer(content, first, pace, pieces, host)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.rest.set()
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def noise(size: int) -> bytes:
    """Bytes that do not compress, the same in every run."""
    return hashlib.shake_256(b"dejavm").digest(size)
