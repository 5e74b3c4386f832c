"""Processes that are killed while a guest is recorded: how long the machine is without them, early and late."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.bench.process import dejavm
from tests.harness.guests import guest

if TYPE_CHECKING:
    from io import BufferedRWPair

KILLS: Final = 5
LINES: Final = 1000
"""Typed and echoed between early and late: some ten messages each."""
START_S: Final = 60.0


class _Run:
    """An echo guest that is recorded, its line, and its monitor."""

    def __init__(self, directory: Path, place: Path) -> None:
        self.place = place
        argv = dejavm(
            "record", "bare", "--kernel", str(guest("echo")), "--serial", f"unix:{place}/line,server=on",
            "--snapshot-every", "1s", "--qmp", f"unix:{place}/qmp", "-o", str(directory / "rebuild.dejavm"),
        )  # fmt: skip
        self.process = subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.line, self.qmp = connect(place / "line"), connect(place / "qmp")
        self.line.readline()
        self.qmp.readline()
        self.qmp.write(b'{"execute": "qmp_capabilities"}\n')
        self.qmp.flush()

    def echo(self, count: int) -> None:
        """Type lines and wait for each."""
        for number in range(count):
            self.line.write(b"line %d\n" % number)
            self.line.flush()
            assert self.line.readline() == b"LINE %d\n" % number

    def kill(self, node: str) -> int:
        """Kill a node's process; the pause in milliseconds."""
        os.kill(self._pid(node), signal.SIGKILL)
        while True:
            event: dict[str, Any] = json.loads(self.qmp.readline())
            if event.get("event") == "DEJAVM_NODE_BACK":
                self.echo(1)
                return int(event["data"]["pause-ms"])

    def _pid(self, node: str) -> int:
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if int(fields[1]) == self.process.pid and node.encode() in words:
                    return int(entry.name)
        raise AssertionError(f"there is no process {node}")


def measure_rebuild(directory: Path) -> dict[str, float | int]:
    """Median pauses in milliseconds of a serial line and of the CPU, behind 20 and behind 1,000 lines."""
    figures: dict[str, float | int] = {}
    with tempfile.TemporaryDirectory(prefix="dvb-") as place:
        run = _Run(directory, Path(place))
        try:
            for when, lines in (("early", 20), ("late", LINES)):
                run.echo(lines)
                for node in ("serial0", "cpu"):
                    figures[f"{node} ms {when}"] = statistics.median(run.kill(node) for _ in range(KILLS))
        finally:
            run.process.send_signal(signal.SIGTERM)
            run.process.wait(START_S)
    return figures


def connect(path: Path) -> BufferedRWPair:
    """A line to a socket that somebody is going to listen at."""
    deadline = time.monotonic() + START_S
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(START_S)
    while True:
        try:
            peer.connect(str(path))
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens at {path}"
            time.sleep(0.01)
        else:
            return peer.makefile("rwb")
