"""A recording whose broker was killed: its machine is taken back to where its log ends, so that another goes on there.

Theory of operation.  A replay with every device, its backends quiet, goes from the nearest
snapshot to the log's end, if the guest sleeps there, else to the last place before it, and leaves a snapshot of the
machine with the recording (replay_broker/session/fork.py).  Whether it sleeps there is known behind the replay only; so
that a long one is not done twice, it goes to the place before first, and from there to the end.
From that a new broker goes on in the same log (replay_broker/going_on.py).  Whoever dies meanwhile has changed nothing:
it is done again.

Lives here: the steps, and when it is enough.  Never here: starting the machine again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.deaths import TRIES
from deploy.launch import launch
from deploy.plan import Fork
from deploy.replaying import plan_replay
from deploy.snapshotting import nearest_snapshot
from machine.errors import EXIT_DONE, EXIT_FAILED, EXIT_UNREADABLE, LogError, MachineError
from machine.message import RunState
from machine.node import die_with_parent
from machine.recording.continuation import clear_unbegun, extent_of, is_begun, whole_snapshot
from machine.recording.format import node_names
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from machine.recording.continuation import Extent
    from machine.recording.snapshots.store import Head

BLOCK: Final = 1024
"""Instructions; the engine's blocks have half as many at most (QEMU, accel/tcg: TCG_MAX_INSNS)."""
FAR: Final = 1 << 28
"""Instructions that take as long to replay as a machine takes to start."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the machine is now: behind a message, at an instruction; `ended`: the run had ended before."""

    seq: int
    icount: int
    ended: bool = False

    def __str__(self) -> str:
        return f"instruction {self.icount:,}, message {self.seq:,}" if self.seq else "power-on"


def take_back(directory: Path) -> Place:
    """Take the machine of a recording back.  MachineError, LogError if that cannot be."""
    if not is_begun(directory):
        clear_unbegun(directory)
        return Place(0, 0)
    recording = Recording.open(directory)
    nodes = {*node_names(recording.board)[1:]}
    store = SnapshotStore(directory, recording.facts.id)
    extent = extent_of(recording, store, nodes)
    if extent.ended:
        raise LogError(f"{directory}: the run has ended, only the log was not closed")
    _forget(recording, store, extent.last)
    begin = recording.beginning.seq
    if extent.last == begin:
        return Place(begin, recording.begin_icount)
    head = whole_snapshot(store, extent, nodes)
    for aims in _aims(extent, recording.begin_icount, recording.begin_icount if head is None else head.icount):
        for aim in aims:
            if head is not None and _is_as_good(head, extent, aim):
                break
            if _go(recording, extent.icount, aim, nodes):
                head = whole_snapshot(store, extent, nodes)
                break
    place = Place(begin, recording.begin_icount) if head is None else Place(head.seq, head.icount)
    # Some that replays have left lack devices: they are of what is dropped there.
    _forget(recording, store, place.seq)
    return place


def _aims(extent: Extent, first: int, near: int) -> tuple[Sequence[int | None], Sequence[int | None]]:
    """Where to go, from a state at `near`; of each kind to one.

    The log's end (None), if the guest sleeps there; and an instruction: the next place at which nothing is under way
    is the end of the block that is executed there, which must be in the log.
    """
    end: Sequence[int | None] = (None,) if extent.settled else ()
    before = [aim for aim in (extent.icount - BLOCK, extent.synced) if aim > first]
    return (before, end) if extent.icount - near > FAR else (end, before)


def _is_as_good(head: Head, extent: Extent, aim: int | None) -> bool:
    return head.seq == extent.last or (aim is not None and head.icount >= aim)


def _forget(recording: Recording, store: SnapshotStore, last: int) -> None:
    """Snapshots of what is not in the log any more, behind its last message."""
    for head in store.list():
        if head.seq > last:
            SnapshotWriter(recording.path, recording.facts.id).delete(head.number)


def _go(recording: Recording, end: int, aim: int | None, nodes: Collection[str]) -> bool:
    """Replay to an instruction, or to the log's end, and leave a snapshot there; whether that could be."""
    plan = plan_replay(recording, "live", end_icount=end)
    at = end if aim is None else aim
    near = nearest_snapshot(recording, at, nodes) or plan.snapshot
    fork = Fork(at, recording.path, recording.facts.id, asleep=aim is None)
    wanted = replace(plan, end_icount=at, snapshot=near, fork=fork)
    outcome = launch(wanted)
    for _ in range(1, TRIES):
        if outcome.broker_killed:
            outcome = launch(wanted)
    if outcome.exit_code != EXIT_DONE:
        raise MachineError(f"{recording.path}: its machine cannot be taken back: {'; '.join(outcome.lines)}")
    return outcome.status.state is RunState.STOPPED


def main(argv: Sequence[str]) -> int:
    """`python -m deploy.continuing REC`: take it back; one line says where to, or why it cannot be."""
    parser = argparse.ArgumentParser(prog="continuing")
    parser.add_argument("recording", type=Path)
    options = parser.parse_args(argv)
    die_with_parent()
    try:
        place = take_back(options.recording)
    except MachineError as error:
        sys.stdout.write(f"{error}\n")
        return EXIT_UNREADABLE if isinstance(error, LogError) else EXIT_FAILED
    sys.stdout.write(f"{place.seq} {place.icount}\n")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
