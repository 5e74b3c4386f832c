"""A CPU's successor begins at a snapshot that will still be there when it comes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from machine import message as m
from machine.icount import CPU
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from replay_broker.changes import BackendChanges
from replay_broker.door import Door
from replay_broker.outbox import Outbox
from replay_broker.rebuilder import CPU_NAME, Host, Rebuilder
from replay_broker.relay import Relay
from replay_broker.roster import Roster
from replay_broker.session.lasting import LastingSession
from tests.unit.machine.recordings import FACTS, write
from tests.unit.machine.snapshots.scenes import plain, snapshot
from tests.unit.replay_broker.stage import Recorded

if TYPE_CHECKING:
    from pathlib import Path

    from replay_broker.snapshots.taker import Taker
    from tests.unit.machine.snapshots.scenes import Memory


class Writing:
    """A taker whose store is about to have another snapshot written, behind which the one before is thinned out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.calls: list[str] = []

    def keep(self, number: int) -> None:
        """It is written."""
        state = replace(snapshot(number), recording=FACTS.id)
        memory: Memory = plain(number, 3)
        pages = ((page, memoryview(data)) for page, data in memory.items())
        SnapshotWriter(self._path, FACTS.id).add(state, pages, None)

    def cpu_lost(self, _session: LastingSession) -> None:
        """What was under way is given up."""
        self.calls.append("cpu_lost")

    def settle(self) -> None:
        """What was being written is there."""
        self.calls.append("settle")
        self.keep(2)
        SnapshotWriter(self._path, FACTS.id).delete(1)


def test_what_is_being_written_is_there_before_a_successor_is_told_where_to_begin(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    taker = Writing(path)
    taker.keep(1)
    roster = Roster.of(("cpu", "serial0", "rtc0"))
    outbox = Outbox(roster, lambda *_: None, lambda _: None)
    door = Door(roster, m.RunMode.RECORD, outbox.tell, lambda _: None)
    host = SimpleNamespace(
        taker=cast("Taker", taker), door=door, outbox=outbox, hear=lambda *_: None, is_near=lambda _: True,
        relay=Relay(outbox.queue, lambda _: None),
    )  # fmt: skip
    rebuilder = Rebuilder(cast("Host", host), roster, BackendChanges(), wanted=True)
    rebuilder.recording = path
    session = Recorded(kind=LastingSession).power_on().session
    cpu = roster.by_number(CPU)
    assert cpu is not None
    assert rebuilder.hear_of(cpu, session)
    assert taker.calls == ["cpu_lost", "settle"]
    assert door.loads[CPU_NAME].number == 2
    assert SnapshotStore(path, FACTS.id).holds(door.loads[CPU_NAME].number)
    rebuilder.close()
