"""A recording verified in parts: the answer of one pass, put together; and the tasks that any analysis starts from."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from deploy.analysis.segments import (
    ANEW_NS,
    ENDING_NS,
    PAGE_NS,
    Measured,
    Work,
    counted,
    plan_segments,
    steadied,
    weights_of,
)
from deploy.analysis.spread import on_cluster, own_jobs, workers_of
from deploy.analysis.work import Task
from deploy.progress import shown_progress
from deploy.replayable import replayable
from deploy.snapshotting import unusable
from machine.board import render_board
from machine.errors import MachineError, UsageError
from machine.recording.format import RESUMABLE_FORMAT
from machine.recording.layout import LOG_NAME
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.times import moments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from deploy.analysis.crew import Crew
    from machine.recording.reader import Recording
    from machine.recording.snapshots.store import Head
    from machine.recording.summary import Summary


MOST_MESSAGES: Final = 200_000
"""Of a log that is read before it is replayed, to have parts of the same work: a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify --json` prints; the first difference and what is wrong with the log, "" if there is none."""

    facts: dict[str, object]
    divergence: str
    damage: str


def tasks_of(
    recording: Recording,
    at_a_time: int,
    analysis: tuple[str, ...] = (),
    *,
    alike: bool = False,
    without: Collection[int] = (),
) -> tuple[Task, ...]:
    """The parts of a recording as tasks, to be worked on so many at a time; one, if it has no snapshots.

    `alike`: one each, whatever there is to do.  `without`: snapshots at which none begins.
    ChangedGuest, LogError if it cannot be.
    """
    board = replayable(recording)
    heads: tuple[Head, ...] = ()
    if recording.facts.format >= RESUMABLE_FORMAT:
        heads = SnapshotStore(recording.path, recording.facts.id).list()
    # Those of version 1, which do not say when they were made, do not say either where in the guest's sleep.
    told = (head for head in heads if head.front or head.made_ns)
    usable = (head for head in told if head.icount > recording.begin_icount and head.number not in without)
    snapshots = [(head.icount, head.number) for head in usable]
    work, beginning = _work_of(recording, heads)
    end = recording.end_icount
    at_a_time = min(at_a_time, 1 + len(snapshots))
    weights = (1,) * at_a_time if alike else weights_of(at_a_time, work(end))
    segments = plan_segments(snapshots, end, weights, work, beginning)
    text = render_board(board)
    return tuple(Task(str(recording.path.absolute()), text, segment, analysis) for segment in segments)


def _work_of(recording: Recording, heads: Sequence[Head]) -> tuple[Callable[[int], int], int]:
    """How much work it is to replay up to an instruction, and to begin at a snapshot.

    The replay that has made the snapshots knows best.  In a long log messages are counted, not read.
    """
    begin, end = recording.begin_icount, recording.end_icount
    pages = max((head.pages for head in heads), default=0)
    if recording.messages > MOST_MESSAGES:
        behind = [(head.icount, head.seq) for head in heads if head.icount > begin]
        until = counted((begin, recording.beginning.seq), [*behind, (end, recording.messages)]).until
    else:
        until = Work(moments(recording.path / LOG_NAME)).until
    measured = [(head.icount, head.work_ns) for head in heads if head.work_ns and head.icount > begin]
    if not measured:
        return until, ANEW_NS + PAGE_NS * pages
    work = Measured(steadied(measured, until), until).until
    return (lambda icount: work(icount) + ENDING_NS * pages * (icount >= end)), PAGE_NS * pages


def run_in_parts(
    recording: Recording, jobs: int | None, workers: Crew | str, analysis: tuple[str, ...] = ()
) -> tuple[list[dict[str, Any]], Summary]:
    """The answers of all parts, in order, from processes of this host or a cluster's; and what the log comes to.

    Of a damaged log those up to the damage.  UsageError, MachineError.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one must work")
    at_a_time = jobs or (workers_of(workers) if isinstance(workers, str) else own_jobs())
    # A cluster works on all that it is given: no more at a time than asked for are no more tasks.
    alike = isinstance(workers, str) and jobs is not None
    plan = partial(tasks_of, recording, at_a_time, analysis, alike=alike)
    tasks = plan()
    try:
        return _answered(recording, tasks, at_a_time, workers)
    except MachineError:
        # Pages are looked at when they are loaded.
        damaged = _damaged(recording, tasks)
        if not damaged:
            raise
    without: set[int] = set()
    while damaged:
        without |= damaged
        tasks = plan(without=without)
        damaged = _damaged(recording, tasks)
    return _answered(recording, tasks, at_a_time, workers)


def _damaged(recording: Recording, tasks: Sequence[Task]) -> set[int]:
    """The snapshots at which parts begin that cannot."""
    return unusable(recording, (task.segment.first for task in tasks if task.segment.first))


def _answered(
    recording: Recording, tasks: Sequence[Task], at_a_time: int, workers: Crew | str
) -> tuple[list[dict[str, Any]], Summary]:
    with ExitStack() as stack:
        if isinstance(workers, str):
            answers = stack.enter_context(on_cluster(workers, tasks))
        else:
            tell = stack.enter_context(shown_progress(recording.end_icount))
            answers = stack.enter_context(workers.at_work(tasks, at_a_time, tell))
        # Meanwhile: in a long log it takes a while.
        summary = recording.summary()
        return answers(), summary


def verify_in_parts(recording: Recording, jobs: int | None, workers: Crew | str) -> Verification:
    """Replay all parts; the first difference of the first part that has one is the recording's."""
    started = time.monotonic()
    found, summary = run_in_parts(recording, jobs, workers)
    return put_together(recording, found, summary, round(time.monotonic() - started, 3))


def put_together(
    recording: Recording, answers: Sequence[dict[str, Any]], summary: Summary, seconds: float
) -> Verification:
    """One pass's answer from those of the parts and from what the log comes to."""
    differing: dict[str, Any] = next((answer for answer in answers if "divergence" in answer), {})
    exact = not differing
    facts: dict[str, object] = {
        "bit_exact": exact,
        "instructions": summary.instructions if exact else differing["at"],
        "messages": recording.beginning.seq + summary.messages if exact else max(0, int(differing["seq"]) - 1),
        "inputs": recording.beginning.inputs + summary.inputs,
        "final_digest": summary.digest.hex() if exact else "",
        "seconds": seconds,
        "parts": len(answers),
        "clean_end": recording.clean_end,
    }
    divergence = "" if exact else str(differing["divergence"])
    if divergence:
        facts["divergence"] = divergence
    elif summary.damage:
        facts["damage"] = summary.damage
    return Verification(facts, divergence, summary.damage)
