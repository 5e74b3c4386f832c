"""A recorded boot under gdb, whose packets are made by hand: back one instruction, or across all of it; watchpoints."""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from cpu_node.gdbstub.packets import frame
from machine.recording.reader import Recording
from tests.bench.boot import BOOT, replay_command, run_command
from tests.bench.process import dejavm, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS: Final = 100
PLACES: Final = 10
IN_A_ROW: Final = 10
ONE_CORE: Final = ("taskset", "-c", "0")
ENTRY: Final = 0x8020_0000
UNTOUCHED: Final = 0x9F00_0000
"""A word of memory that the boot never writes to."""
NUMBER: Final = re.compile(r"icount (\d+)")


class Stub:
    """The server of one recording, and a line to it."""

    def __init__(self, directory: Path, recording: str, prefix: Sequence[str] = ()) -> None:
        # The place of the socket is said when it listens.
        place = directory / "gdb.sock"
        argv = [*prefix, *dejavm("replay", recording, "--gdb", f"unix:{place}")]
        self._process = subprocess.Popen(argv, cwd=directory, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        self._process.stderr.readline()
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(place))
        self._unread = b""
        self.ask(b"QStartNoAckMode")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.sendall(frame(b"k"))
        self._line.close()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def ask(self, body: bytes) -> bytes:
        """The answer to one packet."""
        self._line.sendall(frame(body))
        while b"#" not in self._unread[:-2]:
            data = self._line.recv(1 << 16)
            assert data, "the server is gone"
            self._unread += data
        packet, _, rest = self._unread.partition(b"#")
        self._unread = rest[2:]
        return packet.lstrip(b"+").removeprefix(b"$")

    def timed(self, body: bytes) -> float:
        """How many seconds the answer takes."""
        started = time.perf_counter()
        self.ask(body)
        return time.perf_counter() - started

    def monitor(self, line: str) -> str:
        """What a `monitor` command prints."""
        return bytes.fromhex(self.ask(b"qRcmd," + line.encode().hex().encode()).decode()).decode()


def measure_reverse(directory: Path) -> dict[str, float | int]:
    """Seconds across the boot, forwards and back, on all processors and on one; milliseconds of single steps back."""
    recording = "reverse.dejavm"
    measure(run_command("record", BOOT, recording), directory)
    end = Recording.open(directory / recording).end_icount
    replay = measure(replay_command(recording, "log"), directory).wall_s
    alone = measure([*ONE_CORE, *replay_command(recording, "log")], directory).wall_s
    figures: dict[str, float | int] = {"replay s": round(replay, 2), "replay on one core s": round(alone, 2)}
    with Stub(directory, recording) as stub:
        figures["forward to the end s"] = round(stub.timed(b"vCont;c"), 2)
        figures |= _steps(stub, end)
        stub.monitor(f"seek {end}")
        back = _back(stub)
        figures |= {"back across the boot s": round(back, 2), "back / replay": round(back / replay, 2)}
    figures |= _watched(directory, recording, replay)
    with Stub(directory, recording, ONE_CORE) as stub:
        stub.ask(b"vCont;c")
        back = _back(stub)
    return figures | {"back on one core s": round(back, 2), "back / replay on one core": round(back / alone, 2)}


def _back(stub: Stub) -> float:
    """From the end to a breakpoint at the guest's first instruction."""
    stub.ask(b"Z1,%x,4" % ENTRY)
    seconds = stub.timed(b"bc")
    assert NUMBER.findall(stub.monitor("when")) == ["0"]
    return seconds


def _watched(directory: Path, recording: str, replay: float) -> dict[str, float]:
    """Across the boot and back with a watchpoint that is never met."""
    with Stub(directory, recording) as stub:
        stub.ask(b"Z2,%x,8" % UNTOUCHED)
        forward, back = (stub.timed(packet) for packet in (b"vCont;c", b"bc"))
    return {
        "forward, watched s": round(forward, 2),
        "forward, watched / replay": round(forward / replay, 2),
        "back, watched s": round(back, 2),
    }


def _steps(stub: Stub, end: int) -> dict[str, float | int]:
    """Steps back, from the end and from places all over the boot; the first at a place is counted as well."""
    steps: list[float] = []
    rows: list[float] = []
    for place in range(PLACES, 0, -1):
        stub.monitor(f"seek {end * place // PLACES - place}")
        row = [stub.timed(b"bs") for _ in range(STEPS // PLACES)]
        rows.append(sum(row[:IN_A_ROW]))
        steps += row
    return {
        "step back ms, median": round(1000 * statistics.median(steps), 1),
        "step back ms, 95 %": round(1000 * statistics.quantiles(steps, n=20)[-1], 1),
        "ten steps back s, worst": round(max(rows), 2),
    }
