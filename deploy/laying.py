"""Making snapshots of a recording that has none, or not enough: one process runs it again and leaves them there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from deploy.environment import node_environment, runtime_directory
from deploy.progress import shown_progress
from deploy.replayable import replayable
from deploy.scratch import put_file, scratch
from machine.board import render_board
from machine.errors import UsageError, told_as
from machine.recording.format import RESUMABLE_FORMAT

if TYPE_CHECKING:
    from machine.recording.reader import Recording

LAY_EVERY: Final = 1 << 26
"""Instructions between two snapshots that are made of a recording: about a fifth of a second of replaying."""
MOST: Final = 4096
"""Snapshots that are made of a recording if nobody says how often: who looks for one reads a file of each."""
LEAST_EVERY: Final = 10_000
FAILED: Final = "failed"
"""What a line of the process begins with that says why it could not go on (cpu_node/timeline/laying.py)."""


def usual_distance(instructions: int) -> int:
    """Instructions between two snapshots of a recording that has so many, where nobody says."""
    return max(LAY_EVERY, -(-instructions // MOST))


def make_snapshots(recording: Recording, every: int) -> None:
    """Run a recording again by one process that leaves snapshots in it; MachineError, UsageError, ChangedGuest."""
    if every < LEAST_EVERY:
        raise UsageError(f"--make {every}: not that often; {LEAST_EVERY:,} instructions are the least")
    if recording.facts.format < RESUMABLE_FORMAT:
        raise UsageError(
            f"{recording.path}: snapshots need format {RESUMABLE_FORMAT}, this is {recording.facts.format}"
        )
    board = replayable(recording)
    why = ""
    with scratch(runtime_directory()) as (directory, _), shown_progress(recording.end_icount) as tell:
        path = put_file(directory / "machine.toml", render_board(board))
        argv = [sys.executable, "-P", "-m", "cpu_node.timeline.laying", str(recording.path.absolute())]
        argv += ["--board", str(path), "--every", str(every)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=node_environment(directory))
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                word, _, rest = line.partition(" ")
                if word == FAILED:
                    why = why or rest.strip()
                    continue
                tell(int(word))
        code = process.wait()
    if code:
        why = why or f"its process has ended with code {code}"
        raise told_as(code, f"{recording.path}: not all snapshots could be made: {why}")
