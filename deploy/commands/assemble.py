"""`dejavm assemble`: make a recording of what `dejavm dump --json` has printed."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deploy.library import new_path
from deploy.reading.assembly import assemble
from deploy.reading.watching import watched
from deploy.reading_options import add_json
from deploy.reporting import put, say
from machine.errors import EXIT_DONE, UsageError
from machine.recording.layout import LOG_NAME, MACHINE_NAME

if TYPE_CHECKING:
    import argparse

    from deploy.reading.assembly import Assembled
    from machine.board import Board


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("dump", metavar="FILE", help="what `dejavm dump --json` has printed; - is standard input")
    parser.add_argument("-o", "--output", metavar="REC", help="the new directory (default: a new one in ./recordings)")
    parser.add_argument(
        "--machine", metavar="REC", help="take the machine from this recording, or this machine.toml, not from FILE"
    )
    add_json(parser, "print path, messages, instructions and final_digest as JSON")


def run(options: argparse.Namespace) -> int:
    """Make the recording; UsageError names the line that is wrong, and nothing is left behind then."""
    named = Path(options.machine) if options.machine is not None else None
    machine = _machine(named) if named is not None else None
    origin = named if named is not None and named.is_dir() else None

    def target(board: Board) -> Path:
        return new_path(options.output, board.name, datetime.now().astimezone())

    source = "standard input" if options.dump == "-" else options.dump
    with _open(options.dump) as lines:
        try:
            made = assemble(watched(lines), target, machine, origin)
        except UnicodeDecodeError as error:
            raise UsageError(f"{source}: not text: {error}") from error
    if options.json:
        facts = {"path": str(made.path), "messages": made.messages, "instructions": made.instructions}
        put(json.dumps({**facts, "final_digest": made.digest.hex()}))
    say(_sentence(made))
    return EXIT_DONE


def _open(name: str) -> IO[str]:
    if name == "-":
        return open(sys.stdin.fileno(), encoding="utf-8", closefd=False)
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name}: cannot read: {error.strerror}") from error


def _machine(path: Path) -> str:
    """The text of a recording's machine.toml."""
    try:
        return (path / MACHINE_NAME if path.is_dir() else path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--machine {path}: cannot read it: {error}") from error


def _sentence(made: Assembled) -> str:
    size = ((made.path / LOG_NAME).stat().st_size + 1023) // 1024
    counts = f"{made.instructions:,} instructions, {made.messages:,} messages, {size:,} KB"
    return f"assembled {made.path}: {counts}"
