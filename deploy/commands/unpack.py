"""`dejavm unpack`: restore a packed recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.archive import PACKED_SUFFIX, unpack
from deploy.replayable import built_files
from deploy.reporting import complain, put
from machine.errors import EXIT_DONE, ChangedGuest
from machine.recording.files import locate
from machine.recording.layout import SUFFIX

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("file", metavar="FILE", help="what `dejavm pack` made")
    parser.add_argument("-o", dest="output", metavar="REC", help="the new directory (default: ./NAME.dejavm)")


def run(options: argparse.Namespace) -> int:
    """Unpack; a guest file that is not here is said now, not when a replay needs it."""
    source = Path(options.file)
    target = Path(options.output or source.name.removesuffix(PACKED_SUFFIX) + SUFFIX)
    recording = unpack(source, target)
    put(f"unpacked {target}: {recording.messages:,} messages, {recording.end_icount:,} instructions")
    for file in recording.facts.files:
        try:
            locate(file, recording.path, built_files)
        except ChangedGuest as error:
            complain(f"{error}; it is not in the file, which is thin; put it in {target}/files/{file.sha256}")
    return EXIT_DONE
