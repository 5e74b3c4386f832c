"""Going on with a recording that another broker has begun and left: from which state, behind which message.

Whoever starts this broker has taken the machine back before (deploy/continuing.py): the newest snapshot of all nodes
that the log bears out is the machine where it goes on.  Without one it begins at power-on again.

Lives here: what is found in the recording's directory.  Never here: replaying it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from machine.errors import LogError
from machine.node import starter
from machine.recording.continuation import Continued, extent_of, is_begun, take_note, whole_snapshot
from machine.recording.format import node_names
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.summary import slept_up_to
from replay_broker.held import HeldKeys, up_to
from replay_broker.session.branch import Beginning
from replay_broker.snapshots.incoming import POWER_ON, Incoming, read_incoming

if TYPE_CHECKING:
    from pathlib import Path

    from machine.recording.facts import Facts
    from machine.recording.place import Point
    from machine.recording.snapshots.store import Head


@dataclass(frozen=True, slots=True)
class GoingOn:
    """What is gone on with: the recording and the point, if any is there; `beginning` is None at power-on."""

    path: Path
    incoming: Incoming
    begun: tuple[Recording, Point] | None = None
    beginning: Beginning | None = None
    facts: Facts | None = None

    @property
    def past(self) -> tuple[str, int]:
        """Where backends find their past, and its last message."""
        return str(self.path.absolute()), self.begun[1].seq if self.begun is not None else 0


def find_begun(directory: Path, run_directory: Path) -> GoingOn | None:
    """None for the first broker of a run.  LogError, StateError if it cannot be gone on with."""
    if not take_note(run_directory, starter()):
        return None
    if not is_begun(directory):
        return GoingOn(directory, POWER_ON)
    recording = Recording.open(directory)
    facts = recording.facts
    nodes = set(node_names(recording.board)[1:])
    store = SnapshotStore(directory, facts.id)
    extent = extent_of(recording, store, nodes)
    if extent.ended:
        raise LogError(f"{directory}: the run has ended; nobody goes on with it")
    head = whole_snapshot(store, extent, nodes)
    if head is None:
        return GoingOn(directory, POWER_ON, (recording, recording.beginning), None, replace(facts, continued=()))
    incoming = read_incoming(directory, head.number)
    point = incoming.point
    held = HeldKeys(recording.board, recording.board)
    slept_ns = _slept(recording, head, held)
    here = Continued(point.seq, incoming.icount)
    known = tuple(each for each in facts.continued if each.seq < here.seq)
    beginning = Beginning(point.seq, incoming.icount, slept_ns, held.releases())
    return GoingOn(directory, incoming, (recording, point), beginning, replace(facts, continued=(*known, here)))


def _slept(recording: Recording, head: Head, held: HeldKeys) -> int:
    """The virtual time, in nanoseconds, that the guest has slept up to a snapshot; notes the keys that are held there.

    A snapshot says at which virtual time it is, but for one with a name, which says where its name leads to.
    """
    clock = recording.clock()
    if not held and head.at_ns and not head.label:
        return head.at_ns - (head.icount << clock.shift)
    # One reading of the log for both.
    return slept_up_to(held.noting(up_to(recording, head.seq)), head.seq, clock)
