"""`dejavm bisect`: the first instruction behind which two replays of a recording are not the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from deploy.bisection.report import describe, sentences
from deploy.bisection.runner import Runner
from deploy.bisection.search import LogParting, find_parting, find_wrong_message
from deploy.bisection.symbols import Symbols
from deploy.launch import launch
from deploy.library import open_recording
from deploy.options import add_devices, add_json, add_recording
from deploy.replaying import plan_replay
from deploy.reporting import put
from machine.errors import EXIT_DIVERGED, EXIT_DONE

if TYPE_CHECKING:
    import argparse

    from deploy.bisection.search import Parting
    from machine.recording.reader import Recording

STRAIN: Final = {"stop": 5000, "tb": 2000, "tlb": 500, "seed": 1}
"""What the second replay is put to: a guest that does not mind is not the engine's fault."""
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
    """Compare; exit code 3 and the place if the replays differ from each other or from the recording."""
    recording = open_recording(options.recording)
    symbols = Symbols.read(options.symbols) if options.symbols else Symbols()
    parting = _with_devices(recording) if options.devices == "live" else _side_by_side(recording, options)
    if parting is None:
        same = {"same": True, "instructions": recording.end_icount}
        put(json.dumps(same) if options.json else f"no difference in {recording.end_icount:,} instructions")
        return EXIT_DONE
    facts = describe(parting, recording, symbols)
    put(json.dumps(facts) if options.json else sentences(facts))
    return EXIT_DIVERGED


def _side_by_side(recording: Recording, options: argparse.Namespace) -> Parting | LogParting | None:
    """A replay from the log; if that is what was recorded, two side by side, one of them under strain."""
    run = plan_replay(recording, "log")
    plants = {plant: getattr(options, plant) for plant in PLANTS if getattr(options, plant) is not None}
    if not plants:
        with Runner(recording.path, run.board, {}, run.snapshot) as alone:
            if (wrong := find_wrong_message(alone, recording.end_icount)) is not None:
                return wrong
    with (
        Runner(recording.path, run.board, {}, run.snapshot) as plain,
        Runner(recording.path, run.board, plants or STRAIN, run.snapshot) as strained,
    ):
        return find_parting((plain, strained), recording.end_icount)


def _with_devices(recording: Recording) -> LogParting | None:
    """A device that is not itself shows in the first message that differs; from the log the CPU gets there again."""
    outcome = launch(plan_replay(recording, "live"))
    if outcome.exit_code != EXIT_DIVERGED:
        return None
    icount = outcome.status.icount
    run = plan_replay(recording, "log")
    with Runner(recording.path, run.board, {}, run.snapshot) as runner:
        runner.take()
        return LogParting(icount, " ".join(outcome.lines), runner.ask(look=icount, pages=[]))
