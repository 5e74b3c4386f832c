"""`dejavm export`: a recording's packets, terminal or time line in the format of another program."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deploy.export.table import FORMATS, GUEST, HOST, Choice, exporter
from deploy.library import open_recording
from deploy.reading.watching import watched
from deploy.reading_options import add_recording
from deploy.reporting import say, taking
from machine.errors import EXIT_DONE, LogError, MachineError, UsageError
from machine.recording.layout import FILE_MODE
from machine.recording.trusted import trusted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_recording(parser)
    what = "; ".join(f"{name}: {text}" for name, text in FORMATS.items())
    parser.add_argument("--format", choices=FORMATS, required=True, help=what)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the new file; - is standard output")
    parser.add_argument("--node", metavar="NAME", help="only this device")
    parser.add_argument(
        "--clock", choices=(GUEST, HOST), default=GUEST,
        help="perfetto: times are the guest's virtual time, or the host's when the recording was made",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the file, whole as far as a damaged log is good, then LogError."""
    if options.clock == HOST and options.format != "perfetto":
        raise UsageError(f"--clock host: {options.format} has the guest's time only")
    recording = open_recording(options.recording)
    damage: list[LogError] = []
    frames = trusted(watched(recording.frames(), lambda: recording.messages - recording.beginning.seq), damage)
    pieces = exporter(options.format).export(recording, frames, Choice(options.node, options.clock))
    with _output(options.output) as file:
        size = sum(file.write(piece) for piece in pieces)
    if options.output != "-":
        say(f"exported {options.output}: {options.format}, {size:,} bytes")
    if damage:
        raise damage[0]
    return EXIT_DONE


@contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    """A new file, standard output, or a pipe or device that is there; UsageError for a file that is there."""
    if name == "-":
        with taking():
            yield sys.stdout.buffer
        return
    path = Path(name)
    if path.is_file():
        raise UsageError(f"{name}: exists already; give the file another name with -o")
    is_new = not path.exists()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise UsageError(f"{name}: cannot write: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        if is_new:
            path.unlink(missing_ok=True)
        raise MachineError(f"{name}: cannot write: {error.strerror}") from error
