"""One measured command: wall time, and the peak memory of every process below it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SAMPLE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """`cpu_s`: user and system time of all its processes.

    `peaks_kib`: the highest resident memory of each process, by the name of its node or program.
    """

    wall_s: float
    cpu_s: float
    peaks_kib: dict[str, int] = field(default_factory=dict)


def dejavm(*arguments: str) -> list[str]:
    """The command line of the command under test."""
    return [str(Path(sys.executable).parent / "dejavm"), *arguments]


def measure(argv: Sequence[str], directory: Path, *, peaks: bool = False, exit_code: int = 0) -> Measured:
    """Run a command to its end in a directory; RuntimeError with its last words if it ends otherwise.

    Peak memory is looked for only when asked: looking costs the command time on a machine of few cores.
    """
    errors = directory / "stderr.txt"
    found: dict[str, int] = {}
    before_s = _children_s()
    started = time.monotonic()
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stream
        )
        while peaks and process.poll() is None:
            _sample(process.pid, found)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_S)
        process.wait()
    wall_s = time.monotonic() - started
    if process.returncode != exit_code:
        raise RuntimeError(f"{argv}: exit code {process.returncode}: {errors.read_text()[-500:]}")
    return Measured(wall_s, _children_s() - before_s, found)


def side_by_side(argv: Sequence[str], directory: Path, times: int) -> float:
    """Wall seconds of a command that is run several times at once; RuntimeError if one does not end with 0."""
    started = time.monotonic()
    null = subprocess.DEVNULL
    processes = [subprocess.Popen(argv, cwd=directory, stdin=null, stdout=null, stderr=null) for _ in range(times)]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"{argv}: exit codes {codes}")
    return time.monotonic() - started


def _children_s() -> float:
    """User and system time of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sample(parent: int, peaks: dict[str, int]) -> None:
    for pid in _descendants(parent):
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        name = _name(argv)
        peaks[name] = max(peaks.get(name, 0), peak)


def _descendants(parent: int) -> list[int]:
    """The process and everything below it."""
    found = [parent]
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found += [int(child) for child in children]
    return found


def _name(argv: list[bytes]) -> str:
    words = [os.fsdecode(word) for word in argv]
    if "--node" in words:
        return words[words.index("--node") + 1]
    for module in ("replay_broker", "dejavm", "qemu-system-riscv64"):
        if any(word == module or word.endswith("/" + module) for word in words):
            return module
    return words[0].rpartition("/")[2]
