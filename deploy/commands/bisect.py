"""`dejavm bisect`: the first instruction behind which two replays of a recording are not the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from deploy.analysis.spread import own_jobs
from deploy.bisection.ahead import Ahead
from deploy.bisection.report import describe, sentences
from deploy.bisection.runner import Runner
from deploy.bisection.search import LogParting, find_parting
from deploy.bisection.symbols import Symbols
from deploy.launch import launch
from deploy.library import open_recording
from deploy.reading_options import add_devices, add_json, add_recording
from deploy.replayable import unclosed
from deploy.replaying import plan_replay
from deploy.reporting import complain, put, say
from machine.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_UNREADABLE, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from deploy.bisection.search import Parting
    from machine.recording.reader import Recording
    from machine.recording.summary import Summary

STRAIN: Final = {"stop": (30_000, 1000), "tb": (12_000, 8), "tlb": (3000, 5000)}
"""What the second replay is put to: once in so many instructions, and at most about so often.  In a big guest
all translations are worth 25 ms; all of it together makes the replay of a Debian boot a fifth longer."""
PLANTS: Final = ("flip_at", "flip_bit")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_devices(parser)
    parser.add_argument("--symbols", metavar="FILE", help="an ELF file (vmlinux) or a System.map")
    for plant, what in zip(PLANTS, ("the instruction count", "the bit, from the start of memory"), strict=True):
        option = f"--{plant.replace('_', '-')}"
        parser.add_argument(option, type=int, metavar="N", help=f"for tests: flip one bit in the second replay: {what}")
    add_json(parser, "print icount, process, pc, instruction, symbol, registers, bytes, messages as JSON")


def run(options: argparse.Namespace) -> int:
    """Compare; exit code 3 and the place if the replays differ from each other or from the recording.

    Exit code 4 if they do not, as far as a damaged log is good.
    """
    recording = open_recording(options.recording)
    symbols = Symbols.read(options.symbols) if options.symbols else Symbols()
    parting = _with_devices(recording) if options.devices == "live" else _side_by_side(recording, options)
    if parting is None:
        summary = recording.summary()
        same = {"same": True, "instructions": summary.instructions}
        put(json.dumps(same) if options.json else f"no difference in {summary.instructions:,} instructions")
        return _whole(recording, summary)
    facts = describe(parting, recording, symbols)
    put(json.dumps(facts) if options.json else sentences(facts))
    return EXIT_DIVERGED


def _whole(recording: Recording, summary: Summary) -> int:
    """Say if replays that came to the end of what is good have not seen all that was recorded; the exit code."""
    if summary.damage:
        complain(summary.damage)
        return EXIT_UNREADABLE
    if note := unclosed(recording):
        say(f"note: {note}")
    return EXIT_DONE


def _side_by_side(recording: Recording, options: argparse.Namespace) -> Parting | LogParting | None:
    """Two replays from the log, of which one is under strain, or as it is told.

    On one processor the other one has run before, since a message that differs is found by that alone.
    """
    run = plan_replay(recording, "log")
    plants = _plants(recording, options)

    def replay(perturbation: Mapping[str, int]) -> Runner:
        return Runner(recording.path, run.board, perturbation, run.snapshot)

    with replay({}) as plain, replay(plants or _strain(recording.end_icount)) as strained:
        return find_parting((plain, strained), recording.end_icount, in_turn=own_jobs() == 1)


def _plants(recording: Recording, options: argparse.Namespace) -> dict[str, int]:
    """The flip that is asked for; UsageError if it could not happen."""
    plants = {plant: getattr(options, plant) for plant in PLANTS if getattr(options, plant) is not None}
    if plants:
        bits, first, end = 8 * recording.board.memory, recording.begin_icount, recording.end_icount
        if not first <= plants.get("flip_at", -1) < end:
            raise UsageError(f"--flip-at is needed with a flip, from {first} on and before {end}")
        if not 0 <= plants.get("flip_bit", 0) < bits:
            raise UsageError(f"--flip-bit {plants['flip_bit']}: memory has the bits 0 to {bits - 1}")
    return plants


def _strain(end: int) -> dict[str, int]:
    return {name: max(every, end // most) for name, (every, most) in STRAIN.items()} | {"seed": 1}


def _with_devices(recording: Recording) -> LogParting | None:
    """A device that is not itself shows in the first message that differs; from the log the CPU gets there again."""
    run = plan_replay(recording, "log")
    with Runner(recording.path, run.board, {}, run.snapshot) as runner:
        ahead = Ahead(runner, recording.begin_icount, recording.end_icount)
        if own_jobs() > 1:
            ahead.start()
        outcome = launch(plan_replay(recording, "live"))
        if outcome.exit_code != EXIT_DIVERGED:
            return None
        icount = outcome.status.icount
        return LogParting(icount, " ".join(outcome.lines), ahead.look(icount))
