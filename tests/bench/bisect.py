"""What it costs to find a planted fault in a recorded boot, beside a replay of it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from machine.codec import type_of
from machine.icount import CPU
from machine.message import Done
from machine.recording.reader import Recording
from tests.bench.boot import BOOT, replay_command, run_command
from tests.bench.process import dejavm, measure
from tests.harness.dropped import without

if TYPE_CHECKING:
    from pathlib import Path

PERCENT: Final = (5, 50, 95)
FLIPPED_BIT: Final = 8 * (100 << 20)
DIVERGED: Final = 3


def measure_bisect(directory: Path, rounds: int) -> dict[str, float | int]:
    """Seconds of a replay, and how many times as long each search takes; medians of runs side by side."""
    measure(run_command("record", BOOT, "bisect.dejavm"), directory)
    recording = Recording.open(directory / "bisect.dejavm")
    searches: dict[str, list[str]] = {}
    rows = [frame for frame in recording.frames() if frame.type == type_of(Done) and frame.target == CPU]
    for percent in PERCENT:
        at = str(recording.end_icount * percent // 100)
        flip = ["--flip-at", at, "--flip-bit", str(FLIPPED_BIT)]
        searches[f"flipped bit at {percent} %"] = dejavm("bisect", "bisect.dejavm", *flip)
        dropped = rows[len(rows) * percent // 100]
        searches[f"dropped message at {100 * dropped.icount // recording.end_icount} %"] = dejavm(
            "bisect", without(recording, dropped).path.name
        )
    times: dict[str, list[float]] = {name: [] for name in searches}
    replays: list[float] = []
    for _ in range(rounds):
        for name, argv in searches.items():
            replays.append(measure(replay_command("bisect.dejavm", "log"), directory).wall_s)
            times[name].append(measure(argv, directory, exit_code=DIVERGED).wall_s / replays[-1])
    figures: dict[str, float | int] = {"replay s": round(statistics.median(replays), 2)}
    return figures | {f"{name} / replay": round(statistics.median(row), 2) for name, row in times.items()}
