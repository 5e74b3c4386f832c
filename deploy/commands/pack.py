"""`dejavm pack`: a recording as one file that replays elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.archive import PACKED_SUFFIX, pack
from deploy.library import open_recording
from deploy.reading_options import add_recording
from deploy.replayable import built_files
from deploy.reporting import complain, put, say
from machine.errors import EXIT_DONE, EXIT_UNREADABLE
from machine.recording.layout import SUFFIX

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    parser.add_argument("-o", dest="output", metavar="FILE", help="the new file (default: ./NAME.dejavm.tar.zst)")
    parser.add_argument(
        "--thin", action="store_true", help="name the guest's files by their sha256, do not include them"
    )
    parser.add_argument(
        "--snapshots", action="store_true", help="include the snapshots, so that --seek is as fast there as here"
    )


def run(options: argparse.Namespace) -> int:
    """Pack, and say what is in it; a damaged log is packed as it is, and is exit code 4."""
    recording = open_recording(options.recording)
    name = recording.path.absolute().name.removesuffix(SUFFIX)
    target = Path(options.output or f"{name}{PACKED_SUFFIX}")
    pack(recording, target, thin=options.thin, elsewhere=built_files, snapshots=options.snapshots)
    say(
        "note: a recording holds everything that was typed and sent, passwords too; give it to nobody who must not know"
    )
    put(f"packed {target}: {target.stat().st_size / 1024:,.0f} KB{', without the guest files' if options.thin else ''}")
    if damage := recording.summary().damage:
        complain(damage)
        return EXIT_UNREADABLE
    return EXIT_DONE
