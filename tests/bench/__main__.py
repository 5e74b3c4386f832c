"""`python -m tests.bench`: measure, print a table, and the same as one line of JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.environment import cache_directory
from deploy.guest import find_guest
from machine.recording.reader import Recording
from tests.bench.bisect import measure_bisect
from tests.bench.boot import BOOT, PRINT, Workload, qemu_command, replay_command, run_command
from tests.bench.broker import measure_broker
from tests.bench.download import measure_download
from tests.bench.keys import measure_keys
from tests.bench.killing import measure_killed_cpu, measure_killed_devices
from tests.bench.machine import measure_machine
from tests.bench.process import Measured, measure
from tests.bench.rebuild import measure_rebuild
from tests.bench.reverse import measure_reverse
from tests.bench.service import measure_service
from tests.bench.snapshots import measure_snapshots
from tests.bench.store import measure_store

Figures = dict[str, float | int]
WORKLOADS: Final = (
    "boot",
    "print",
    "download",
    "keys",
    "store",
    "broker",
    "reverse",
    "machine",
    "service",
    "rebuild",
    "snapshots",
    "bisect",
    "killed-cpu",
    "killed-devices",
)


class Bench:
    """Runs of one workload, interleaved so that a drift of the machine's speed hits all alike."""

    def __init__(self, workload: Workload, directory: Path, rounds: int) -> None:
        self._workload = workload
        self._directory = directory
        self._rounds = rounds
        self._measured: dict[str, list[Measured]] = {}
        self.log_bytes = 0
        self.instructions = 0

    def run(self, qemu: tuple[str, str] | None) -> Figures:
        """The figures of all rounds."""
        for number in range(self._rounds):
            recording = f"{self._workload.name}{number}.dejavm"
            self._measure("none", run_command("run", self._workload, recording))
            if qemu is not None:
                self._measure("qemu plain", qemu_command(self._workload, *qemu, record=False))
                self._measure("qemu record", qemu_command(self._workload, *qemu, record=True))
            self._measure("record", run_command("record", self._workload, recording))
            self._measure("replay log", replay_command(recording, "log"))
            self._measure("replay live", replay_command(recording, "live"))
            opened = Recording.open(self._directory / recording)
            self.log_bytes, self.instructions = opened.log_bytes, opened.end_icount
        return self._figures()

    def _measure(self, name: str, argv: list[str]) -> None:
        sys.stderr.write(f"{self._workload.name}: {name}\n")
        self._measured.setdefault(name, []).append(measure(argv, self._directory))

    def _figures(self) -> Figures:
        medians = {name: statistics.median(m.wall_s for m in rows) for name, rows in self._measured.items()}
        figures: Figures = {f"{name} s": round(value, 3) for name, value in medians.items()}
        figures |= {
            f"{name} CPU s": round(statistics.median(m.cpu_s for m in rows), 3) for name, rows in self._measured.items()
        }
        figures["record / none"] = self._ratio("record", "none")
        figures["replay log / record"] = self._ratio("replay log", "record")
        if "qemu record" in medians:
            figures["record / qemu record"] = self._ratio("record", "qemu record")
        figures["instructions"] = self.instructions
        figures["log bytes"] = self.log_bytes
        for name, peak in self._peaks().items():
            figures[f"peak MiB {name}"] = peak
        return figures

    def _ratio(self, left: str, right: str) -> float:
        """The median of the ratios of the rounds: both sides of each ran next to each other."""
        pairs = zip(self._measured[left], self._measured[right], strict=True)
        return round(statistics.median(a.wall_s / b.wall_s for a, b in pairs), 3)

    def _peaks(self) -> dict[str, int]:
        """Of one more recording, which nobody times."""
        argv = run_command("record", self._workload, f"{self._workload.name}-peaks.dejavm")
        found = measure(argv, self._directory, peaks=True).peaks_kib
        # A process seen between its fork and its exec has no name yet.
        return {name: kib // 1024 for name, kib in found.items() if name}


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is run")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload instead of all")
    options = parser.parse_args()
    guest = find_guest(cache_directory())
    if guest is None:
        sys.stderr.write("the Debian guest is not there; run: make guest\n")
        return 2
    has_qemu = shutil.which("qemu-system-riscv64") is not None
    qemu = (str(guest.kernel), str(guest.initrd)) if has_qemu else None
    results: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="dejavm-bench-") as directory:
        for workload in (BOOT, PRINT):
            if options.only in (None, workload.name):
                results[workload.name] = Bench(workload, Path(directory), options.rounds).run(qemu)
        place, rounds = Path(directory), options.rounds
        measures: dict[str, Callable[[], Figures]] = {
            "download": lambda: measure_download(place, rounds),
            "keys": lambda: measure_keys(place),
            "store": lambda: measure_store(place, guest.kernel, rounds),
            "broker": lambda: measure_broker(place),
            "reverse": lambda: measure_reverse(place),
            "machine": lambda: measure_machine(place, rounds),
            "service": lambda: measure_service(place, guest, rounds),
            "rebuild": lambda: measure_rebuild(place),
            "snapshots": lambda: measure_snapshots(place, rounds),
            "bisect": lambda: measure_bisect(place, rounds),
            "killed-cpu": measure_killed_cpu,
            "killed-devices": measure_killed_devices,
        }
        for name, figures in measures.items():
            if options.only in (None, name):
                results[name] = figures()
    _report(results, sys.stdout.write)
    return 0


def _report(results: dict[str, Figures], write: Callable[[str], object]) -> None:
    for name, figures in results.items():
        write(f"{name}\n")
        for label, value in figures.items():
            write(f"  {label:<24} {value:>14,}\n")
    write(json.dumps(results) + "\n")


if __name__ == "__main__":
    sys.exit(main())
