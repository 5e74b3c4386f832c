"""From a recording and an instruction to a run that goes on there with other hands: a branch.

Theory of operation.  A replay with every device goes to the instruction and has the machine's state kept in a directory
beside the new recording (replay_broker/session/fork.py).  Then the machine starts again from that state, its backends
open, recording.  The branch's first run begins as each replay of it will; what works in the one works in the other.

Lives here: the two steps, and that nothing is left of a branch that did not come about.
Never here: what the guest sees of it (devices/gate.py).
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.deaths import Deaths
from deploy.launch import launch
from deploy.outcome import Outcome
from deploy.plan import Fork, Launch
from deploy.replaying import plan_replay
from deploy.snapshotting import nearest_snapshot
from machine.errors import EXIT_DONE, EXIT_FAILED, LogError, MachineError, UsageError
from machine.message import RunMode, RunState
from machine.recording.carrying import carry_files
from machine.recording.facts import Parent, gather_facts
from machine.recording.format import FORMAT_VERSION, RESUMABLE_FORMAT
from machine.recording.snapshots.adoption import adopt
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.recording.summary import slept_up_to
from machine.recording.writer import RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.plan import GdbPlace
    from machine.board import Board
    from machine.recording.facts import Facts
    from machine.recording.reader import Recording
    from machine.recording.snapshots.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Branch:
    """What is wanted: a branch of `parent` at an instruction, of a machine that differs from it in its backends."""

    parent: Recording
    icount: int
    board: Board
    target: Path
    monitor: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    gdb: GdbPlace | None = None
    rebuild: bool = False
    continues: bool = False


def run_branch(branch: Branch, created_ns: int) -> Outcome:
    """Go to the instruction, go on from there, tell how it ended; UsageError, LogError if it cannot begin."""
    check_place(branch.parent, branch.icount)
    _check_name(branch.parent)
    plan = plan_replay(branch.parent, "live")
    facts = gather_facts(branch.board, created_ns)
    with _scratch(branch.target) as directory:
        outcome, number = _go_there(branch, plan, facts, directory)
        if outcome.exit_code != EXIT_DONE or outcome.status.state is not RunState.STOPPED:
            return _not_there(branch, outcome)
        snapshot = SnapshotStore(directory, facts.id).read(number)
        facts = replace(facts, parent=_parent_of(branch, snapshot))
        # An empty log, for those who load the state.
        RecordingWriter(directory / "recording", branch.board, facts).abandon()
        prepared = directory / "recording"
        (directory / "snapshots").rename(prepared / "snapshots")
        carry_files(facts.files, branch.parent.path, prepared)
        return launch(
            Launch(
                branch.board, RunMode.RECORD, branch.target, monitor=branch.monitor, snapshots=branch.snapshots,
                snapshot=number, prepared=prepared, gdb=branch.gdb, rebuild=branch.rebuild,
                go_on=branch.continues,
            ),
            revive=Deaths().revive,
        )  # fmt: skip


def check_place(recording: Recording, icount: int) -> None:
    """UsageError unless the instruction is in the recording; LogError if recordings of its format have no branches."""
    if recording.facts.format < RESUMABLE_FORMAT:
        raise LogError(
            f"{recording.path}: format {recording.facts.format} cannot be branched; "
            f"`dejavm dump --json` and `dejavm assemble` make one of format {FORMAT_VERSION}"
        )
    first, last = recording.begin_icount, recording.end_icount
    if first <= icount <= last:
        return
    if icount > last and (damage := recording.summary().damage):
        raise LogError(damage)
    parent = recording.facts.parent
    before = f"; what is before is in its parent, {parent.path}" if parent and icount < first else ""
    raise UsageError(
        f"{recording.path}@{icount}: instruction {icount} is outside the recording, which goes from {first} to {last}"
        f"{before}"
    )


def _check_name(parent: Recording) -> None:
    """UsageError unless a branch can write down, as text, where its parent is."""
    path = str(parent.path.absolute())
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{path!r} is not UTF-8; give the recording another name to branch from it") from error


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A directory beside the one that is to be made, gone afterwards."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise MachineError(f"{target}: cannot prepare the branch: {error.strerror}") from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _go_there(branch: Branch, plan: Launch, facts: Facts, directory: Path) -> tuple[Outcome, int]:
    """Replay to the instruction; how that ended, and the number of the snapshot that is in the directory then."""
    parent = branch.parent
    nodes = ("cpu", *(slot.name for slot in plan.board.devices))
    near = nearest_snapshot(parent, branch.icount, nodes) or plan.snapshot
    if near:
        adopt(parent.path, parent.facts.id, near, directory, facts.id)
    fork = Fork(branch.icount, directory, facts.id)
    outcome = launch(replace(plan, end_icount=branch.icount, snapshot=near, fork=fork))
    number = near + 1
    if near and outcome.exit_code == EXIT_DONE and SnapshotStore(directory, facts.id).holds(near):
        # It was only needed for what is the same in the other.
        SnapshotWriter(directory, facts.id).delete(near)
    return outcome, number


def _not_there(branch: Branch, outcome: Outcome) -> Outcome:
    """Why there is no branch."""
    if outcome.exit_code != EXIT_DONE:
        return outcome
    if damage := branch.parent.summary().damage:
        raise LogError(damage)
    where = f"{branch.parent.path}@{branch.icount}"
    text = f"{where}: nothing can come from outside between there and the recording's end; branch it earlier"
    if outcome.status.state is RunState.ENDED:
        raise UsageError(text)
    return Outcome(outcome.status, EXIT_FAILED, (f"{where}: ended before it was there",))


def _parent_of(branch: Branch, snapshot: Snapshot) -> Parent:
    """What the branch remembers of the recording it leaves; reads that up to there."""
    recording = branch.parent
    return Parent(
        id=recording.facts.id,
        path=str(recording.path.absolute()),
        wanted=branch.icount,
        icount=snapshot.icount,
        seq=snapshot.seq,
        inputs=snapshot.inputs,
        chain=snapshot.chain,
        idle_ns=slept_up_to(recording.frames(), snapshot.seq, recording.clock()),
        snapshot=snapshot.number,
    )
