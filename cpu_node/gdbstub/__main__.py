"""`python -m cpu_node.gdbstub REC`: gdb's server in front of a recording (server.py)."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cpu_node.arch import ARCHES
from cpu_node.gdbstub.listener import Listener
from cpu_node.gdbstub.past import PastTarget
from cpu_node.gdbstub.server import Line, Server
from cpu_node.timeline.entries import Entries
from cpu_node.timeline.history import History
from machine.board import parse_board
from machine.errors import EXIT_DONE, MachineError
from machine.node import die_with_parent, start_diagnostics
from machine.recording.reader import Recording
from machine.shown import shown_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.board import Board

log = logging.getLogger("dejavm")
PR_SET_CHILD_SUBREAPER: Final = 36


def main(argv: Sequence[str]) -> int:
    """Serve until a gdb kills the machine."""
    parser = argparse.ArgumentParser(prog="cpu_node.gdbstub")
    parser.add_argument("recording", type=Path, help="the recording's directory")
    parser.add_argument("--board", type=Path, required=True, help="its board, with the guest's files as they are here")
    parser.add_argument("--gdb", required=True, metavar="ADDRESS", help="where gdb may come")
    parser.add_argument("--once", action="store_true", help="leave when the first gdb goes")
    parser.add_argument("--until", type=int, metavar="ICOUNT", help="begin at this instruction")
    parser.add_argument("--ready", type=int, metavar="FD", help="a descriptor to write to as soon as gdb may come")
    parser.add_argument("--quiet", action="store_true", help="do not say where gdb may come")
    options = parser.parse_args(argv)
    start_diagnostics("gdb")
    die_with_parent()
    try:
        board = parse_board(options.board.read_text(), str(options.board))
        recording = Recording.open(options.recording)
        _serve(recording, board, options)
    except MachineError as error:
        sys.stderr.write(shown_line(f"gdb: {error}") + "\n")
        return error.exit_code
    except KeyboardInterrupt:
        pass
    return EXIT_DONE


def _serve(recording: Recording, board: Board, options: argparse.Namespace) -> None:
    # Forks of forks whose parents have ended are ours to bury.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    entries = Entries(recording, board)
    origin = entries.first()
    listener, line = Listener(options.gdb, quiet=options.quiet), Line()
    history = History(origin, recording.end_icount, line, entries)
    target = PastTarget(recording, ARCHES[board.cpu], history)
    try:
        if options.until is not None:
            history.seek(options.until)
        if options.ready is not None:
            os.write(options.ready, b"1")
            os.close(options.ready)
        Server(listener, line, target, history).serve(once=options.once)
    finally:
        listener.close()
        target.close()
        history.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
