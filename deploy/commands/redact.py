"""`dejavm redact`: a copy of a recording without the bytes of some channels, to be read and not replayed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.library import open_recording
from deploy.reading_options import add_recording
from deploy.redact import redact
from deploy.reporting import put, say
from machine.errors import EXIT_DONE, LogError
from machine.recording.layout import SUFFIX

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    parser.add_argument(
        "--channel", action="append", required=True, metavar="C",
        help="SOURCE/TYPE>TARGET as `info` lists it, or a node for all of its channels; may be given again",
    )  # fmt: skip
    parser.add_argument("-o", dest="output", metavar="REC", help="the copy (default: ./NAME-redacted.dejavm)")


def run(options: argparse.Namespace) -> int:
    """Copy; the recording itself stays as it is.  LogError where it is damaged, behind what is copied."""
    recording = open_recording(options.recording)
    target = Path(options.output or f"{recording.path.absolute().name.removesuffix(SUFFIX)}-redacted{SUFFIX}")
    say("note: the copy can be read, exported and compared, and never replayed")
    damage: list[LogError] = []
    count = redact(recording, options.channel, target, damage)
    put(f"redacted {target}: {count:,} of {recording.messages - recording.beginning.seq:,} messages blanked")
    if damage:
        raise damage[0]
    return EXIT_DONE
