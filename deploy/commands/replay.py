"""`dejavm replay`: run a recording again, to its end or to an exact instruction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy.debugging import serve
from deploy.launch import launch
from deploy.library import open_recording
from deploy.options import add_device_options, add_gdb, add_monitor_options, device_words, gdb_place, monitor_arguments
from deploy.reading_options import add_devices, add_json, add_recording
from deploy.replayable import unclosed
from deploy.replaying import damage_behind, plan_replay, refuse_interrupted
from deploy.reporting import complain, put, say
from machine.errors import EXIT_DONE, EXIT_UNREADABLE, UsageError
from machine.message import RunState

if TYPE_CHECKING:
    import argparse

    from deploy.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_devices(parser)
    add_device_options(parser)
    add_monitor_options(parser)
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument(
        "--until", metavar="ICOUNT", type=int, help="stop exactly at this instruction; with --gdb: begin there"
    )
    goal.add_argument(
        "--seek", metavar="ICOUNT", type=int, help="the same by the shortest way: from the last snapshot before"
    )
    add_gdb(parser)
    add_json(parser, "print icount and digest as JSON")


def run(options: argparse.Namespace) -> int:
    """Replay; where it stopped and the digest there."""
    recording = open_recording(options.recording)
    place = gdb_place(options)
    words = device_words(options)
    if place is not None and options.devices != "live" and not words.given():
        return serve(recording, place.address, options.until if options.seek is None else options.seek)
    if place is not None and (options.until is not None or options.seek is not None):
        raise UsageError("--until with --gdb needs --devices log: a machine whose devices run cannot begin there")
    planned = plan_replay(recording, options.devices, words, options.until, options.seek)
    outcome = launch(replace(planned, monitor=monitor_arguments(options), gdb=place))
    for line in outcome.lines:
        complain(line)
    if planned.until is not None:
        refuse_interrupted(recording, outcome, planned.until)
    if outcome.exit_code == EXIT_DONE:
        if options.json:
            facts = {"icount": outcome.status.icount, "digest": outcome.status.digest.hex()}
            put(json.dumps({**facts, "clean_end": recording.clean_end}))
        else:
            say(f"{_manner(outcome)} {recording.path}: {outcome.status.icount:,} instructions")
            say(f"digest {outcome.status.digest.hex()}")
    if damage := damage_behind(recording, outcome):
        complain(damage)
        return EXIT_UNREADABLE
    if outcome.exit_code == EXIT_DONE and (note := unclosed(recording)):
        say(f"note: {note}")
    return outcome.exit_code


def _manner(outcome: Outcome) -> str:
    return "stopped in" if outcome.status.state is RunState.STOPPED else "replayed"
