"""A machine of six processes: how soon its guest executes its first instruction, and what it costs while it sleeps."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tests.bench.boot import CONSOLE
from tests.bench.process import dejavm
from tests.harness.guests import guest

if TYPE_CHECKING:
    from collections.abc import Sequence

SIX: Final = ("--nic", "none", "--input", "kbd", "--rng", "host")
"""Beside the broker, the CPU, the serial line and the clock."""
IDLE_S: Final = 10.0
SETTLE_S: Final = 3.0
"""For what the kernel still has to do when its shell is there."""
WAIT_S: Final = 60.0
ASLEEP: Final = "echo ASLEEP; exec sleep 1000000"


def measure_machine(directory: Path, rounds: int) -> dict[str, float | int]:
    """Seconds from the command to the first byte of a bare guest, and the share of a core that an idle Debian takes."""
    starts = [_start_s(directory, number) for number in range(rounds)]
    return {
        "processes": 2 + 1 + len(SIX) // 2 + 1,
        "s to the guest's first word": round(statistics.median(starts), 3),
        **_idle(directory),
    }


def _start_s(directory: Path, number: int) -> float:
    """From the command to the first byte on its serial line: the guest's first instruction is a moment before."""
    console = directory / f"first{number}.txt"
    argv = dejavm("record", "debian", *SIX, "--kernel", str(guest("echo")), "--serial", f"file:{console}",
                  "-o", str(directory / f"first{number}.dejavm"))  # fmt: skip
    started = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        _wait_for(console, b"R")
        taken_s = time.monotonic() - started
        run.terminate()
        run.wait(WAIT_S)
    return taken_s


def _idle(directory: Path) -> dict[str, float]:
    console = directory / "idle.txt"
    argv = dejavm("record", "debian", *SIX, "--append", f"{CONSOLE} dejavm.run={quote(ASLEEP, safe='')}",
                  "--serial", f"file:{console}", "-o", str(directory / "idle.dejavm"))  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        used = idle_s(run.pid, console)
        run.terminate()
        run.wait(WAIT_S)
    figures = {f"idle % of a core, {name}": round(100 * cpu_s / IDLE_S, 2) for name, cpu_s in used.items()}
    return {"idle % of a core": round(100 * sum(used.values()) / IDLE_S, 2), **figures}


def idle_s(root: int, console: Path) -> dict[str, float]:
    """CPU seconds of each process from `root` down in IDLE_S seconds, once the guest has said that it sleeps."""
    _wait_for(console, b"\nASLEEP")
    time.sleep(SETTLE_S)
    processes = _family(root)
    before = {pid: _cpu_s(pid) for pid in processes}
    time.sleep(IDLE_S)
    return {name: _cpu_s(pid) - before[pid] for pid, name in processes.items()}


def _wait_for(console: Path, text: bytes) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if text in console.read_bytes():
                return
        time.sleep(0.002)
    raise RuntimeError(f"{console}: {text!r} has not come")


def _family(parent: int) -> dict[int, str]:
    """A process and its children, by name."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {pid: _name(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")) for pid in (parent, *map(int, children))}


def _name(argv: Sequence[bytes]) -> str:
    if b"--node" in argv:
        return argv[argv.index(b"--node") + 1].decode()
    return "broker" if b"replay_broker" in argv else "launcher"


def _cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
