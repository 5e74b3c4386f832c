"""One part of a recording replayed by a process of its own: what a worker does, wherever it is.

Tasks and answers are plain values, so that they travel; the recording and the guest's files are where the task says,
which is the same place for all who work on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.environment import node_environment
from machine.errors import MachineError

if TYPE_CHECKING:
    from deploy.analysis.segments import Segment


@dataclass(frozen=True, slots=True)
class Task:
    """A part to be replayed: the recording's directory, its board as TOML, and what is to be found out on the way."""

    recording: str
    board: str
    segment: Segment
    analysis: tuple[str, ...] = ()
    """An analysis and its words."""


def work(task: Task) -> dict[str, Any]:
    """Replay it; what cpu_node.timeline.segment says.  MachineError if it says nothing."""
    with tempfile.TemporaryDirectory(prefix="dejavm-part-") as name:
        place = Path(name)
        (place / "machine.toml").write_text(task.board)
        segment = task.segment
        command = [sys.executable, "-P", "-m", "cpu_node.timeline.segment", task.recording]
        command += ["--board", str(place / "machine.toml"), "--first", str(segment.first), "--last", str(segment.last)]
        command += ["--analysis", *task.analysis] if task.analysis else []
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=node_environment(place)
        )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        where = f"instructions {segment.start_icount:,} to {segment.end_icount:,}"
        raise MachineError(f"{where}: {said[-1] if said else f'the replay ended with code {done.returncode}'}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
