"""`dejavm dump`: the messages of a recording, one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.library import open_recording
from deploy.message_text import text_of
from deploy.reading.wanted import CLASSES, Wanted
from deploy.reading_options import add_json, add_recording
from deploy.reporting import put
from machine.errors import EXIT_DONE
from machine.recording.format import node_names
from machine.recording.layout import LOG_NAME, MACHINE_NAME
from machine.recording.times import HostClock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from machine.frame import Frame
    from machine.recording.reader import Recording


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_json(parser, "print one JSON object a line, of which `dejavm assemble` makes the recording again")
    parser.add_argument("--node", metavar="N", help="only what this node said or was told")
    parser.add_argument("--type", metavar="T", help="only messages of this type, such as host_input")
    parser.add_argument(
        "--class", choices=CLASSES, dest="message_class",
        help="input: what was born outside the guest; derived: what follows from it",
    )  # fmt: skip
    parser.add_argument("--from", metavar="ICOUNT", type=int, dest="first", help="from this instruction on")
    parser.add_argument("--to", metavar="ICOUNT", type=int, dest="last", help="up to and with this instruction")


def run(options: argparse.Namespace) -> int:
    """Print what was asked for, in the order of seq; UsageError for an unknown node or type."""
    recording = open_recording(options.recording)
    names = node_names(recording.board)
    wanted = Wanted(options.node, options.type, options.message_class, options.first, options.last)
    wanted.check(names)
    frames = wanted.of(recording.frames(), names)
    if options.json:
        _put_json(recording, frames, whole=wanted.every_channel)
    else:
        text = text_of(recording)
        for frame in frames:
            put(text.line(frame))
    return EXIT_DONE


def _put_json(recording: Recording, frames: Iterable[Frame], *, whole: bool) -> None:
    """One object a line; the first message of all brings the machine with it, if all channels are there."""
    text = text_of(recording)
    before = recording.beginning.seq
    clock = HostClock(recording.path / LOG_NAME, before)
    for frame in frames:
        machine = (recording.path / MACHINE_NAME).read_text() if whole and frame.seq == before + 1 else None
        put(text.json(frame, clock.at(frame.seq), machine))
