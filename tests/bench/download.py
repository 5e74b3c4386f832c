"""A file fetched by HTTP through passt: how fast, and what recording it costs and writes."""

from __future__ import annotations

import http.server
import random
import statistics
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from machine.recording.reader import Recording
from tests.bench.boot import CONSOLE
from tests.bench.process import dejavm, measure

if TYPE_CHECKING:
    from pathlib import Path

PAYLOAD_BYTES: Final = 10 << 20
GATEWAY: Final = "10.0.2.2"
"""The host, as a guest behind `--nic user` sees it."""


class TimedServer(http.server.ThreadingHTTPServer):
    """Serves one body that no compressor makes smaller; remembers how long the last one took to be taken."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = random.Random(1).randbytes(PAYLOAD_BYTES)
        self.seconds = 0.0


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: TimedServer

    def do_GET(self) -> None:
        """Send the body and wait until the client, who has it all, closes."""
        started = time.monotonic()
        self.send_response(200)
        self.send_header("Content-Length", str(PAYLOAD_BYTES))
        self.end_headers()
        self.wfile.write(self.server.body)
        self.wfile.flush()
        # A guest that has all it wants closes, or is gone.
        with suppress(ConnectionResetError):
            self.rfile.read(1)
        self.server.seconds = time.monotonic() - started

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        """Nobody reads it."""


def measure_download(directory: Path, rounds: int) -> dict[str, float | int]:
    """Megabytes (10^6) a second without a log and recording, their ratio round by round, the log's bytes."""
    server = TimedServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fetch = f"wget -q -O /tmp/got http://{GATEWAY}:{server.server_port}/"
    command = f"udhcpc -i eth0 -q -n >/dev/null && {fetch}; wc -c </tmp/got"
    append = f"{CONSOLE} dejavm.run={quote(command, safe='')}"
    machine = ("debian", "--nic", "user", "--append", append, "--serial", "file:console.txt")
    seconds: dict[str, list[float]] = {"run": [], "record": []}
    log_bytes = messages = 0
    for number in range(rounds):
        output = directory / f"download-{number}.dejavm"
        for mode, taken in seconds.items():
            server.seconds = 0.0
            measure(dejavm(mode, *machine, *(["-o", str(output)] if mode == "record" else [])), directory)
            console = (directory / "console.txt").read_text()
            assert f"\n{PAYLOAD_BYTES}" in console, console[-500:]
            assert server.seconds
            taken.append(server.seconds)
        recording = Recording.open(output)
        log_bytes, messages = recording.log_bytes, recording.messages
    server.shutdown()
    cost = statistics.median(b / a for a, b in zip(seconds["run"], seconds["record"], strict=True))
    return {
        "MB/s none": round(PAYLOAD_BYTES / 1e6 / statistics.median(seconds["run"]), 2),
        "MB/s record": round(PAYLOAD_BYTES / 1e6 / statistics.median(seconds["record"]), 2),
        "record / none": round(cost, 3),
        "log bytes / payload": round(log_bytes / PAYLOAD_BYTES, 3),
        "messages": messages,
    }
