"""`dejavm verify`: does a recording still replay bit for bit?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deploy.launch import launch
from deploy.library import open_recording
from deploy.options import add_devices, add_json, add_recording
from deploy.replaying import damage_behind, plan_replay, unclosed
from deploy.reporting import complain, put, say
from machine.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_UNREADABLE, UsageError
from machine.message import RunState

if TYPE_CHECKING:
    import argparse

    from deploy.outcome import Outcome
    from machine.recording.reader import Recording


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_devices(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="in N parts, split at its snapshots, side by side")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="in parts, on the workers of this Dask scheduler")
    add_json(parser, "print bit_exact, instructions, messages, inputs, final_digest, seconds as JSON")


def run(options: argparse.Namespace) -> int:
    """Replay to the end; the verdict goes to standard output, a divergence to standard error as well."""
    recording = open_recording(options.recording)
    if options.jobs is not None or options.scheduler is not None:
        return _in_parts(recording, options)
    outcome = launch(plan_replay(recording, options.devices))
    for line in outcome.lines:
        complain(line)
    if outcome.exit_code in (EXIT_DONE, EXIT_DIVERGED):
        facts = {**verdict(outcome), "clean_end": recording.clean_end}
        put(json.dumps(facts) if options.json else _sentence(facts))
    if damage := damage_behind(recording, outcome):
        complain(damage)
        return EXIT_UNREADABLE
    if outcome.exit_code == EXIT_DONE and (note := unclosed(recording)):
        say(f"note: {note}")
    return outcome.exit_code


def _in_parts(recording: Recording, options: argparse.Namespace) -> int:
    """The same answer, from parts that were replayed side by side."""
    # Imported here: a replay in one piece needs none of it.
    from deploy.analysis.verification import verify_in_parts  # noqa: PLC0415

    if options.devices == "live":
        raise UsageError("--jobs and --scheduler replay from the log: leave out --devices live")
    found = verify_in_parts(recording, options.jobs, options.scheduler)
    put(json.dumps(found.facts) if options.json else _sentence(found.facts))
    if found.divergence:
        complain(found.divergence)
        return EXIT_DIVERGED
    if damage := recording.summary().damage:
        complain(damage)
        return EXIT_UNREADABLE
    if note := unclosed(recording):
        say(f"note: {note}")
    return EXIT_DONE


def verdict(outcome: Outcome) -> dict[str, object]:
    """The JSON object: what was compared, up to where; `divergence` is there only if there is one."""
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
