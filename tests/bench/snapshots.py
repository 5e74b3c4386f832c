"""Snapshots of a Debian guest: how long it stands for one, what a period costs, how large they are, how soon one seeks.

The guest of the pauses has 512 MiB, has filled most of them, and goes on writing pages here and there as it runs.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from machine.recording.layout import SNAPSHOTS_NAME
from machine.recording.reader import Recording
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.store import SnapshotStore
from tests.bench.boot import BOOT, CONSOLE, run_command
from tests.bench.process import dejavm, measure
from tests.bench.rebuild import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL_MIB: Final = 400
WRITTEN_MIB: Final = 16
PAUSES: Final = 10
SEEKS: Final = 10
START_S: Final = 120.0
PERIOD: Final = "2s"
WRITING: Final = (
    f"dd if=/dev/zero bs=1M count={FULL_MIB} | tr '\\0' x > /tmp/full; echo FULL; "
    f"while :; do dd if=/dev/zero of=/tmp/full bs=1M count={WRITTEN_MIB} conv=notrunc; "
    f"dd if=/tmp/full of=/dev/null bs=1M count={WRITTEN_MIB} skip={WRITTEN_MIB}; done"
)
"""What fills the memory, and what the guest does then: as many MiB are written as are read."""


def measure_snapshots(directory: Path, rounds: int) -> dict[str, float | int]:
    """Medians; milliseconds of the pauses are the broker's, from asking to letting go on."""
    figures: dict[str, float | int] = dict(_pauses(directory))
    ratios: list[float] = []
    cpu_ratios: list[float] = []
    for number in range(rounds):
        plain = measure(run_command("record", BOOT, f"plain{number}.dejavm"), directory)
        kept = measure([*run_command("record", BOOT, f"kept{number}.dejavm"), "--snapshot-every", PERIOD], directory)
        ratios.append(kept.wall_s / plain.wall_s)
        cpu_ratios.append(kept.cpu_s / plain.cpu_s)
    figures[f"record each {PERIOD} / record"] = statistics.median(ratios)
    figures[f"CPU s each {PERIOD} / record"] = statistics.median(cpu_ratios)
    # A quick host has booted before the first period is over: only behind --make are there snapshots for sure.
    figures |= dict(_seeks(directory, directory / "kept0.dejavm"))
    figures |= dict(_store(directory / "kept0.dejavm"))
    return {name: round(value, 3) for name, value in figures.items()}


def _pauses(directory: Path) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory(prefix="dvb-") as place:
        argv = dejavm(
            "record", "debian", "--memory", "512M", "--serial", f"unix:{place}/line,server=on",
            "--append", f"{CONSOLE} quiet dejavm.run={quote(WRITING, safe='')}",
            "--qmp", f"unix:{place}/qmp", "-o", str(directory / "pauses.dejavm"),
        )  # fmt: skip
        process = subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        line, qmp = connect(Path(place) / "line"), connect(Path(place) / "qmp")
        try:
            while line.readline().strip() != b"FULL":
                pass
            qmp.readline()
            _ask(qmp, "qmp_capabilities")
            saved = [_ask(qmp, "snapshot-save", tag=f"s{number}") for number in range(PAUSES + 1)]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_S)
    yield "first pause ms", saved[0]["pause-ms"]
    later = [row["pause-ms"] for row in saved[1:]]
    yield "later pause ms", statistics.median(later)
    yield "longest later pause ms", max(later)


def _ask(qmp: Any, command: str, **arguments: object) -> dict[str, Any]:  # a socket's file
    qmp.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    qmp.flush()
    while True:
        answer: dict[str, Any] = json.loads(qmp.readline())
        assert "error" not in answer, answer
        if "return" in answer:
            found: dict[str, Any] = answer["return"]
            return found


def _store(recording: Path) -> Iterator[tuple[str, float]]:
    """The store against the pages that the guest has touched up to its last snapshot."""
    heads = SnapshotStore(recording, Recording.open(recording).facts.id).list()
    size = sum(path.stat().st_size for path in (recording / SNAPSHOTS_NAME).iterdir())
    touched = max(head.pages for head in heads) * PAGE_BYTES
    yield "boot: snapshots", len(heads)
    yield "boot: store MB", size / 1e6
    yield "boot: store / touched RAM", size / touched


def _seeks(directory: Path, recording: Path) -> Iterator[tuple[str, float]]:
    """Each in a new process: from the command's start to the digest that says where it stands."""
    made = measure(dejavm("snapshots", str(recording), "--make"), directory)
    yield "boot: snapshots made in s", made.wall_s
    end = Recording.open(recording).end_icount
    chance = random.Random(1)
    places = [str(chance.randrange(end)) for _ in range(SEEKS)]
    sought = [measure(dejavm("replay", str(recording), "--seek", place, "--json"), directory) for place in places]
    yield "cold seek s", statistics.median(seek.wall_s for seek in sought)
    yield "slowest cold seek s", max(seek.wall_s for seek in sought)
    yield "slowest cold seek CPU s", max(seek.cpu_s for seek in sought)
