"""`dejavm verify`: does a recording still replay bit for bit?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deploy.library import open_recording
from deploy.reading_options import add_devices, add_json, add_recording
from deploy.reporting import complain, put, say
from machine.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_UNREADABLE, UsageError

if TYPE_CHECKING:
    import argparse

    from deploy.analysis.crew import Crew
    from deploy.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_devices(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="in parts, split at its snapshots, N at a time")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="in parts, on the workers of this Dask scheduler")
    add_json(parser, "print bit_exact, instructions, messages, inputs, final_digest, seconds as JSON")


def run(options: argparse.Namespace) -> int:
    """Replay to the end; the verdict goes to standard output, a divergence to standard error as well."""
    if options.scheduler is not None:
        return _in_parts(options, options.scheduler)
    if options.jobs is not None:
        # Imported here, and the rest behind it: they come up while we go on.
        from deploy.analysis.crew import Crew  # noqa: PLC0415

        with Crew() as crew:
            return _in_parts(options, crew)
    return _in_one_pass(options)


def _in_one_pass(options: argparse.Namespace) -> int:
    from deploy.launch import launch  # noqa: PLC0415
    from deploy.replayable import unclosed  # noqa: PLC0415
    from deploy.replaying import damage_behind, plan_replay, refuse_interrupted  # noqa: PLC0415

    recording = open_recording(options.recording)
    outcome = launch(plan_replay(recording, options.devices))
    for line in outcome.lines:
        complain(line)
    refuse_interrupted(recording, outcome)
    damage = damage_behind(recording, outcome)
    if outcome.exit_code in (EXIT_DONE, EXIT_DIVERGED):
        facts = {**verdict(outcome), "clean_end": recording.clean_end}
        if damage:
            facts["damage"] = damage
        put(json.dumps(facts) if options.json else _sentence(facts))
    if damage:
        complain(damage)
        return EXIT_UNREADABLE
    if outcome.exit_code == EXIT_DONE and (note := unclosed(recording)):
        say(f"note: {note}")
    return outcome.exit_code


def _in_parts(options: argparse.Namespace, workers: Crew | str) -> int:
    """The same answer, from parts that were replayed side by side."""
    from deploy.analysis.verification import verify_in_parts  # noqa: PLC0415
    from deploy.replayable import unclosed  # noqa: PLC0415

    if options.devices == "live":
        raise UsageError("--jobs and --scheduler replay from the log: leave out --devices live")
    recording = open_recording(options.recording)
    found = verify_in_parts(recording, options.jobs, workers)
    put(json.dumps(found.facts) if options.json else _sentence(found.facts))
    if found.divergence:
        complain(found.divergence)
        return EXIT_DIVERGED
    if found.damage:
        complain(found.damage)
        return EXIT_UNREADABLE
    if note := unclosed(recording):
        say(f"note: {note}")
    return EXIT_DONE


def verdict(outcome: Outcome) -> dict[str, object]:
    """What the JSON object says: what was compared, up to where; `divergence` is there only if there is one."""
    from machine.message import RunState  # noqa: PLC0415

    status = outcome.status
    facts: dict[str, object] = {
        "bit_exact": outcome.exit_code == EXIT_DONE and status.state is RunState.ENDED,
        "instructions": status.icount,
        "messages": status.messages,
        "inputs": status.inputs,
        "final_digest": status.digest.hex(),
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.exit_code == EXIT_DIVERGED:
        facts["divergence"] = " ".join(outcome.lines)
    return facts


def _sentence(facts: dict[str, object]) -> str:
    counts = f"{facts['instructions']:,} instructions, {facts['messages']:,} messages, {facts['inputs']:,} inputs"
    words = "bit-exact" if facts["bit_exact"] else "not bit-exact"
    return f"{words}: {counts} in {facts['seconds']} s\nfinal digest {facts['final_digest']}"
