"""`dejavm info`: what a recording is and comes to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deploy.library import open_recording
from deploy.reading.overview import overview
from deploy.reading_options import add_json, add_recording
from deploy.recording_text import describe, render
from deploy.reporting import complain, put
from machine.errors import EXIT_DONE, EXIT_UNREADABLE

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_json(parser, "print it as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Read the whole log and tell; a damaged one is told as far as it is good, and is exit code 4."""
    recording = open_recording(options.recording)
    found = overview(recording)
    facts = describe(recording, found)
    put(json.dumps(facts) if options.json else render(recording, found, facts))
    if found.summary.damage:
        complain(found.summary.damage)
        return EXIT_UNREADABLE
    return EXIT_DONE
