"""A key: from `input-send-event` to the guest's event device and on to its serial line, while recording."""

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
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.bench.boot import CONSOLE
from tests.bench.process import dejavm

if TYPE_CHECKING:
    from io import BufferedRWPair

PRESSES: Final = 300
STROKE_BYTES: Final = 3 * 24
"""A key going down, going up, and the end of the group, each a struct input_event of a 64-bit guest."""
START_S: Final = 60.0
LISTEN: Final = (
    "while [ ! -e /dev/input/event0 ]; do sleep 0.1; done; stty raw -echo; exec 3</dev/input/event0; "
    "echo LISTENING; cat <&3"
)


def measure_keys(directory: Path) -> dict[str, float | int]:
    """Milliseconds from the command to the last byte on the serial line: median and 95th percentile.

    The guest's `cat` and the serial line are in it, so the event device itself is sooner.
    """
    with tempfile.TemporaryDirectory(prefix="dvb-") as place:
        line, control = Path(place) / "line", Path(place) / "qmp"
        append = f"{CONSOLE} dejavm.run={quote(LISTEN, safe='')}"
        argv = dejavm(
            "record", "debian", "--input", "kbd", "--append", append, "--memory", "128M",
            "--serial", f"unix:{line},server=on", "--qmp", f"unix:{control}", "-o", str(directory / "keys.dejavm"),
        )  # fmt: skip
        with subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                latencies_ms = _press(_connect(line), _connect(control))
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(START_S)
    ordered = sorted(latencies_ms)
    return {
        "key ms median": round(statistics.median(ordered), 2),
        "key ms 95 %": round(ordered[int(len(ordered) * 0.95)], 2),
        "presses": len(ordered),
    }


def _connect(path: Path) -> BufferedRWPair:
    """A connection to a unix socket that is about to be there."""
    deadline = time.monotonic() + START_S
    while True:
        peer = socket.socket(socket.AF_UNIX)
        with suppress(FileNotFoundError, ConnectionRefusedError):
            peer.connect(str(path))
            peer.settimeout(START_S)
            return peer.makefile("rwb")
        peer.close()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path}: nobody listens")
        os.sched_yield()


def _press(line: BufferedRWPair, control: BufferedRWPair) -> list[float]:
    """Strike a key again and again; the milliseconds of each.  Held, it would repeat."""
    control.readline()
    _command(control, "qmp_capabilities", {})
    # The kernel prints its command line, with the word in it.
    while line.readline().strip() != b"LISTENING":
        pass
    latencies = []
    stroke = [{"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": "a"}}} for down in (True, False)]
    for _ in range(PRESSES):
        started = time.perf_counter()
        _command(control, "input-send-event", {"events": stroke})
        line.read(STROKE_BYTES)
        latencies.append(1000 * (time.perf_counter() - started))
    return latencies


def _command(control: BufferedRWPair, name: str, arguments: dict[str, object]) -> None:
    control.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
    control.flush()
    while "return" not in (answer := json.loads(control.readline())):
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']}")
