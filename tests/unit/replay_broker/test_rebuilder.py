"""Who stands in for a process that has died: told what its predecessor had been, once, from where that can be had."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from machine import message as m
from machine.codec import type_of
from machine.icount import BROKER
from machine.port import frames_of
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
from tests.unit.replay_broker.stage import SERIAL, Recorded, frame_of

if TYPE_CHECKING:
    from collections.abc import Sequence
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


class Broker:
    """A rebuilder, the roster it knows, and what it has said to whom."""

    def __init__(self, recording: Path, taker: Writing | None = None) -> None:
        self.said: list[tuple[bytes, int]] = []
        self.roster = Roster.of(("cpu", "serial0", "rtc0"))
        outbox = Outbox(self.roster, self._note, lambda _: None)
        self.flush = outbox.flush
        self.door = Door(self.roster, m.RunMode.RECORD, outbox.tell, lambda _: None)
        host = SimpleNamespace(
            taker=cast("Taker", taker), door=self.door, outbox=outbox, hear=lambda *_: None, is_near=lambda _: True,
            relay=Relay(outbox.queue, lambda _: None),
        )  # fmt: skip
        self.rebuilder = Rebuilder(cast("Host", host), self.roster, BackendChanges(), wanted=True)
        self.rebuilder.recording = recording
        self.session = Recorded(kind=LastingSession).power_on().session

    def _note(self, identity: bytes, parts: Sequence[bytes]) -> None:
        self.said += ((identity, frame.type) for frame in frames_of(parts))

    def comes(self, name: str, identity: bytes) -> None:
        """A process says Hello."""
        assert not self.roster.admit(identity, m.Hello(m.WIRE_VERSION, name, 1, "memory" if name == "cpu" else ""))

    def is_ready(self, name: str) -> None:
        """It is as far as its predecessor was at the beginning."""
        member = self.roster.members[name]
        assert isinstance(self.session, LastingSession)
        assert self.rebuilder.takes(member, frame_of(m.Ready((), 1), member.number, BROKER, 0), self.session)

    def dies(self, name: str) -> None:
        """Whoever started it says that it has ended."""
        assert self.rebuilder.hear_of(self.roster.members[name], self.session)


def test_what_is_being_written_is_there_before_a_successor_is_told_where_to_begin(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm")
    taker = Writing(path)
    taker.keep(1)
    broker = Broker(path, taker)
    broker.dies("cpu")
    assert taker.calls == ["cpu_lost", "settle"]
    assert broker.door.loads[CPU_NAME].number == 2
    assert SnapshotStore(path, FACTS.id).holds(broker.door.loads[CPU_NAME].number)
    broker.rebuilder.close()


def test_a_device_that_waits_for_a_cpu_and_dies_is_not_told_its_past_in_its_successor_s_place(tmp_path: Path) -> None:
    broker = Broker(write(tmp_path / "x.dejavm", ()))
    broker.dies("cpu")
    broker.dies("serial0")
    for process in (b"first", b"second"):
        broker.comes("serial0", process)
        broker.is_ready("serial0")
        if process == b"first":
            broker.dies("serial0")
    broker.comes("cpu", b"cpu")
    broker.is_ready("cpu")
    broker.flush()
    told = [kind for identity, kind in broker.said if identity == b"second"]
    assert told.count(type_of(m.Present)) == 1
    assert broker.rebuilder.losses.is_lost(SERIAL)
    broker.rebuilder.close()
