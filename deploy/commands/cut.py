"""`dejavm cut`: a part of a recording as a recording of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.cutting import cut
from deploy.library import open_recording
from deploy.reading_options import add_recording
from deploy.reporting import put, say
from machine.errors import EXIT_DONE, LogError
from machine.recording.layout import SUFFIX

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    parser.add_argument("--from", dest="low", type=int, metavar="ICOUNT", help="begin at the last snapshot before")
    parser.add_argument("--to", dest="high", type=int, metavar="ICOUNT", help="end behind this instruction")
    parser.add_argument("-o", dest="output", metavar="REC", help="the new recording (default: ./NAME-cut.dejavm)")


def run(options: argparse.Namespace) -> int:
    """Cut; the recording itself stays as it is.  LogError where it is damaged, behind what is made."""
    recording = open_recording(options.recording)
    target = Path(options.output or f"{recording.path.absolute().name.removesuffix(SUFFIX)}-cut{SUFFIX}")
    low = recording.begin_icount if options.low is None else options.low
    high = recording.end_icount if options.high is None else options.high
    damage: list[LogError] = []
    made = cut(recording, low, high, target, damage)
    begins = made.begin_icount
    if begins < low:
        say(f"note: it begins at instruction {begins:,}: there is no snapshot between there and {low:,}")
    put(f"cut {target}: instructions {begins:,} to {made.end_icount:,}, {made.messages:,} messages")
    if damage:
        raise damage[0]
    return EXIT_DONE
