"""A recording verified in parts: the answer of one pass, put together; and the tasks that any analysis starts from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.analysis.segments import plan_segments
from deploy.analysis.spread import here, on_cluster, own_jobs, workers_of
from deploy.analysis.work import Task
from deploy.replaying import plan_replay
from machine.board import render_board
from machine.errors import UsageError
from machine.recording.format import RESUMABLE_FORMAT
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.recording.reader import Recording


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify --json` prints, and the first difference, "" if there is none."""

    facts: dict[str, object]
    divergence: str


def tasks_of(recording: Recording, parts: int, analysis: tuple[str, ...] = ()) -> tuple[Task, ...]:
    """The parts of a recording as tasks; one, if it has no snapshots.  ChangedGuest, LogError if it cannot be."""
    board = plan_replay(recording, "log").board
    snapshots: list[tuple[int, int]] = []
    if recording.facts.format >= RESUMABLE_FORMAT:
        store = SnapshotStore(recording.path, recording.facts.id)
        heads = (head for head in store.list() if head.icount > recording.begin_icount)
        snapshots = [(head.icount, head.number) for head in heads]
    segments = plan_segments(snapshots, recording.end_icount, parts)
    text = render_board(board)
    return tuple(Task(str(recording.path.absolute()), text, segment, analysis) for segment in segments)


def run_in_parts(
    recording: Recording, jobs: int | None, scheduler: str | None, analysis: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """The answers of all parts, in order.  UsageError, MachineError."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one must work")
    if scheduler is not None:
        spread, parts = on_cluster(scheduler), jobs or workers_of(scheduler)
    else:
        parts = jobs or own_jobs()
        spread = here(parts)
    return spread(tasks_of(recording, parts, analysis))


def verify_in_parts(recording: Recording, jobs: int | None, scheduler: str | None) -> Verification:
    """Replay all parts; the first difference of the first part that has one is the recording's."""
    started = time.monotonic()
    answers = run_in_parts(recording, jobs, scheduler)
    seconds = round(time.monotonic() - started, 3)
    return put_together(recording, answers, seconds)


def put_together(recording: Recording, answers: Sequence[dict[str, Any]], seconds: float) -> Verification:
    """One pass's answer from those of the parts."""
    differing: dict[str, Any] = next((answer for answer in answers if "divergence" in answer), {})
    exact = not differing
    facts: dict[str, object] = {
        "bit_exact": exact and recording.clean_end,
        "instructions": recording.end_icount if exact else differing["at"],
        "messages": recording.messages if exact else max(0, int(differing["seq"]) - 1),
        "inputs": recording.inputs,
        "final_digest": recording.summary().digest.hex() if exact else "",
        "seconds": seconds,
        "parts": len(answers),
        "clean_end": recording.clean_end,
    }
    divergence = "" if exact else str(differing["divergence"])
    if divergence:
        facts["divergence"] = divergence
    return Verification(facts, divergence)
