"""`dejavm dump`: the messages of a recording, one a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deploy.library import open_recording
from deploy.message_text import describe, node_name, render
from deploy.options import add_json, add_recording
from deploy.reporting import put
from machine.codec import MESSAGES, name_of
from machine.errors import EXIT_DONE, UsageError
from machine.frame import FIRST_INPUT_TYPE
from machine.recording.format import node_names

if TYPE_CHECKING:
    import argparse

    from machine.frame import Frame


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    add_json(parser, "print one JSON object a line; bytes are written in hex")
    parser.add_argument("--node", metavar="N", help="only what this node said or was told")
    parser.add_argument("--type", metavar="T", help="only messages of this type, such as host_input")
    parser.add_argument("--from", metavar="ICOUNT", type=int, dest="first", help="from this instruction on")
    parser.add_argument("--to", metavar="ICOUNT", type=int, dest="last", help="up to and with this instruction")


def run(options: argparse.Namespace) -> int:
    """Print what was asked for, in the order of seq; UsageError for an unknown node or type."""
    recording = open_recording(options.recording)
    names = node_names(recording.board)
    if options.node is not None and options.node not in names:
        raise UsageError(f"--node {options.node}: the recorded nodes are {', '.join(names)}")
    types = [name_of(number) for number in MESSAGES if number >= FIRST_INPUT_TYPE]
    if options.type is not None and options.type not in types:
        raise UsageError(f"--type {options.type}: the types are {', '.join(types)}")
    for frame in recording.frames():
        if options.last is not None and frame.icount > options.last:
            break
        if _wanted(frame, names, options):
            put(json.dumps(describe(frame, names)) if options.json else render(frame, names))
    return EXIT_DONE


def _wanted(frame: Frame, names: tuple[str, ...], options: argparse.Namespace) -> bool:
    if options.first is not None and frame.icount < options.first:
        return False
    if options.type is not None and options.type != name_of(frame.type):
        return False
    return options.node is None or options.node in (node_name(names, frame.source), node_name(names, frame.target))
