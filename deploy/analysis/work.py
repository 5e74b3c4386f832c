"""One part of a recording, to be replayed by whoever has the time.

Tasks and answers are plain values, so that they travel; the recording and the guest's files are where the task says,
which is the same place for all who work on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.analysis.crew import Crew

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
    """Replay it by a process of its own: what a worker of a cluster does.  MachineError if it could not be."""
    with Crew() as crew, crew.at_work((task,), 1) as answers:
        return answers()[0]
