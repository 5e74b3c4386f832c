"""What it costs to find a planted fault in a recorded boot, beside a replay of it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from deploy.resolve import BOARDS
from machine.codec import type_of
from machine.icount import CPU
from machine.message import Done
from machine.recording.format import node_number
from machine.recording.reader import Recording
from tests.bench.boot import BOOT, replay_command, run_command
from tests.bench.process import dejavm, measure
from tests.harness.dropped import without

if TYPE_CHECKING:
    from pathlib import Path

PERCENT: Final = (5, 50, 95)
FLIPPED_BIT: Final = 8 * (100 << 20)
DIVERGED: Final = 3
RTC: Final = 0x101000
HIDDEN_CLOCK: Final = f"""
[[device]]
name = "cheat0"
kind = "tests.saboteurs.clock_reader:SPEC"
address = {RTC:#x}
irq = 11
compatible = ["google,goldfish-rtc"]
"""
"""In place of the board's clock, which the kernel reads once as it boots: one that asks the host behind all backs."""


def measure_bisect(directory: Path, rounds: int) -> dict[str, float | int]:
    """Seconds of a replay, and how many times as long each search takes; medians of runs side by side."""
    measure(run_command("record", BOOT, "bisect.dejavm"), directory)
    searches = _flips_and_drops(Recording.open(directory / "bisect.dejavm"))
    searches["no difference, under strain"] = (dejavm("bisect", "bisect.dejavm"), "bisect.dejavm", 0)
    searches[_hidden_clock(directory)] = (
        dejavm("bisect", "clock.dejavm", "--devices", "live"),
        "clock.dejavm",
        DIVERGED,
    )
    times: dict[str, list[float]] = {name: [] for name in searches}
    replays: list[float] = []
    for _ in range(rounds):
        for name, (argv, recording, exit_code) in searches.items():
            replays.append(measure(replay_command(recording, "log"), directory).wall_s)
            times[name].append(measure(argv, directory, exit_code=exit_code).wall_s / replays[-1])
    figures: dict[str, float | int] = {"replay s": round(statistics.median(replays), 2)}
    return figures | {f"{name} / replay": round(statistics.median(row), 2) for name, row in times.items()}


def _flips_and_drops(recording: Recording) -> dict[str, tuple[list[str], str, int]]:
    """Each search's command, the recording that is replayed beside it, and the exit code."""
    searches: dict[str, tuple[list[str], str, int]] = {}
    rows = [frame for frame in recording.frames() if frame.type == type_of(Done) and frame.target == CPU]
    name = recording.path.name
    for percent in PERCENT:
        at = str(recording.end_icount * percent // 100)
        flip = ["--flip-at", at, "--flip-bit", str(FLIPPED_BIT)]
        searches[f"flipped bit at {percent} %"] = (dejavm("bisect", name, *flip), name, DIVERGED)
        dropped = rows[len(rows) * percent // 100]
        argv = dejavm("bisect", without(recording, dropped).path.name)
        searches[f"dropped message at {100 * dropped.icount // recording.end_icount} %"] = (argv, name, DIVERGED)
    return searches


def _hidden_clock(directory: Path) -> str:
    """Record the boot with such a device; what it is called, with the place where it is first asked."""
    machine, _, _ = (BOARDS / "debian.toml").read_text().partition('[[device]]\nname = "rtc0"')
    (directory / "clock.toml").write_text(machine + HIDDEN_CLOCK)
    argv = dejavm(
        "record", "./clock.toml", "--append", BOOT.append, "--serial", "file:console.txt", "-o", "clock.dejavm"
    )
    measure(argv, directory)
    recording = Recording.open(directory / "clock.dejavm")
    number = node_number(recording.board, "cheat0")
    asked = next(frame for frame in recording.frames() if frame.target == number and frame.source == CPU)
    return f"hidden clock at {100 * asked.icount // recording.end_icount} %"
