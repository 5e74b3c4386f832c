"""A shorter recording out of a longer one: from a snapshot on, up to an instruction.

Lives here: which messages and pages go into it.  Never here: what a snapshot or a message means.
"""

from __future__ import annotations

import mmap
import secrets
import shutil
from dataclasses import replace
from itertools import chain, repeat
from typing import TYPE_CHECKING

from deploy.snapshotting import nearest_snapshot
from machine.errors import LogError, UsageError
from machine.frame import class_of
from machine.message import MessageClass
from machine.recording.carrying import carry_files
from machine.recording.chain import Chain
from machine.recording.cut import Cut
from machine.recording.format import FORMAT_VERSION, RESUMABLE_FORMAT, node_names
from machine.recording.layout import BASE_LABEL, LOG_NAME
from machine.recording.place import Place
from machine.recording.reader import Recording
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.recording.summary import idle_ns_of
from machine.recording.times import host_times
from machine.recording.trusted import trusted
from machine.recording.writer import whole_or_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.frame import Frame
    from machine.recording.snapshots.snapshot import Snapshot

ZERO_PAGE = bytes(PAGE_BYTES)


def cut(recording: Recording, low: int, high: int, target: Path, damage: list[LogError]) -> Recording:
    """Write the part of a recording from the last snapshot at or before `low` to `high`; nothing is left if that fails.

    Where the recording is damaged in front of `high` it ends with the last good message, and why is put into `damage`.
    UsageError if there is no such part, LogError if the recording is damaged in front of `low`, SnapshotError.
    """
    first = recording.begin_icount
    if not first <= low <= high <= recording.end_icount:
        raise UsageError(f"{recording.path} goes from {first} to {recording.end_icount}; {low} to {high} is not in it")
    if recording.facts.redacted:
        raise LogError(f"{recording.path}: its bytes have been redacted: what would be cut out of it does not replay")
    if recording.facts.format < RESUMABLE_FORMAT:
        raise LogError(
            f"{recording.path}: a recording of format {recording.facts.format} cannot be cut, since format"
            f" {RESUMABLE_FORMAT} one can; `dejavm dump --json` and `dejavm assemble` make it one of the newest"
        )
    snapshot = _snapshot(recording, low)
    good = _write(recording, snapshot, high, target, damage)
    if damage and good < high:
        # How far a damaged log is good only who has read it knows.
        shutil.rmtree(target)
        if good < low:
            raise damage[0]
        _write(recording, snapshot, good, target)
    return Recording.open(target)


def _write(
    recording: Recording, snapshot: Snapshot | None, high: int, target: Path, damage: list[LogError] | None = None
) -> int:
    """Write the part behind a snapshot, or power-on, to `high`; the icount of its last message."""
    seq = snapshot.seq if snapshot is not None else recording.beginning.seq
    frames = zip(recording.frames(), chain(host_times(recording.path / LOG_NAME), repeat(0)), strict=False)
    begun, rest = _skip(recording, frames, seq)
    if snapshot is not None:
        begun = replace(begun, snapshot=1, begin=snapshot.icount)
    begun = replace(begun, end=high)
    facts = replace(recording.facts, id=secrets.token_hex(16), format=FORMAT_VERSION, cut=begun)
    last = begun.icount
    with whole_or_nothing(target, recording.board, facts) as writer:
        for frame, host_ns in trusted(rest, damage):
            if frame.icount > high:
                break
            last = frame.icount
            writer.append(frame, host_ns)
        writer.finish()
        carry_files(facts.files, recording.path, target)
        if snapshot is not None:
            _copy(recording, snapshot, begun, target, facts.id)
    return last


def _snapshot(recording: Recording, icount: int) -> Snapshot | None:
    """The snapshot to begin at, one with the states of all processes if there is one; None for power-on."""
    nodes = node_names(recording.board)[1:]
    number = nearest_snapshot(recording, icount, nodes) or nearest_snapshot(recording, icount, ("cpu",))
    if not number:
        if recording.facts.snapshot:
            raise LogError(f"{recording.path}: the snapshot it begins at is missing")
        return None
    return SnapshotStore(recording.path, recording.facts.id).read(number)


def _skip(
    recording: Recording, frames: Iterator[tuple[Frame, int]], seq: int
) -> tuple[Cut, Iterator[tuple[Frame, int]]]:
    """Count what is left out; the cut, as far as that tells, and the messages that stay."""
    start = recording.beginning
    icount, inputs, idle_ns = start.place.icount, start.inputs, recording.facts.slept_ns
    digest = Chain(start.chain)
    for _ in range(seq - start.seq):
        frame, _ = next(frames)
        digest.add(frame)
        icount = frame.icount
        inputs += class_of(frame.type) is MessageClass.INPUT
        idle_ns += idle_ns_of(frame)
    return Cut(recording.facts.id, seq, icount, inputs, idle_ns, digest.digest().hex(), 0, 0, 0), frames


def _copy(recording: Recording, snapshot: Snapshot, begun: Cut, target: Path, recording_id: str) -> None:
    """Give the new recording the snapshot it begins at, as its own."""
    if snapshot.chain.hex() != begun.chain or snapshot.seq != begun.seq:
        raise LogError(f"{recording.path}: snapshot {snapshot.number} does not stand where the log says")
    place = Place(0, begun.seq, begun.icount, snapshot.chain)
    # A name keeps it from being deleted.
    label = snapshot.label or BASE_LABEL
    own = replace(snapshot, recording=recording_id, number=1, place=place, label=label, work_ns=0)
    # Not closed: who has raised an error may still hold a view of it.
    with memoryview(mmap.mmap(-1, snapshot.memory)) as view:
        SnapshotStore(recording.path, recording.facts.id).load_memory(snapshot.number, view)
        SnapshotWriter(target, recording_id).add(own, _pages(view), None)


def _pages(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Every page that is not all zero."""
    for at in range(0, len(view), PAGE_BYTES):
        page = view[at : at + PAGE_BYTES]
        if page != ZERO_PAGE:
            yield at // PAGE_BYTES, page
