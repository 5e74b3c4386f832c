"""`python -m cpu_node.timeline REC`: run a recording again on request, by one process (server.py)."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from cpu_node.timeline.server import Server, refusal
from machine.board import parse_board
from machine.errors import MachineError
from machine.node import die_with_parent, start_diagnostics
from machine.recording.reader import Recording

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Serve requests on standard input until it ends."""
    parser = argparse.ArgumentParser(prog="cpu_node.timeline")
    parser.add_argument("recording", type=Path, help="the recording's directory")
    parser.add_argument("--board", type=Path, required=True, help="its board, with the guest's files as they are here")
    parser.add_argument("--snapshot", type=int, default=0, metavar="N", help="begin at this snapshot")
    for field in fields(Perturbation):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, help="for tests: a perturbation")
    options = parser.parse_args(argv)
    start_diagnostics("timeline")
    # Ctrl-C is for whoever asks, and goes to all of a terminal's processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    given = {field.name: getattr(options, field.name) for field in fields(Perturbation)}
    try:
        board = parse_board(options.board.read_text(), str(options.board))
        recording = Recording.open(options.recording)
        player = Player(
            recording, board, Perturbation(**{k: v for k, v in given.items() if v is not None}), options.snapshot
        )
    except MachineError as error:
        # Who has asked for it says so to the user, once.
        os.write(sys.stdout.fileno(), json.dumps(refusal(error)).encode() + b"\n")
        return error.exit_code
    Server(player, sys.stdin.fileno(), sys.stdout.fileno()).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
