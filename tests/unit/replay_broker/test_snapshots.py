"""Taking snapshots: who is asked in which order, what the run notices of it, what becomes of failures."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest
import zstandard

from machine import message as m
from machine import vmstate
from machine.errors import RemoteWireError
from machine.icount import CPU
from machine.recording.snapshots.snapshot import NodeState
from replay_broker.snapshots.process import StoreProcess, Written
from replay_broker.snapshots.state import BrokerState, PendingInput
from replay_broker.snapshots.taker import LONGEST_WAIT, Taker
from tests.unit.replay_broker.stage import RTC, SERIAL, Recorded, frame_of, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.message import Message, Saved
    from machine.recording.snapshots.snapshot import Snapshot

NODES = {CPU: "cpu", SERIAL: "serial0", RTC: "rtc0"}
PERIOD_NS = 1000


class FakeStore:
    """Remembers jobs; answers what it is told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Snapshot, Saved, int | None]] = []
        self.done: list[Written] = []

    def submit(self, snapshot: Snapshot, memory: Saved, base: int | None) -> None:
        """A job."""
        self.jobs.append((snapshot, memory, base))

    def answers(self) -> Sequence[Written]:
        """What has been done."""
        done, self.done = self.done, []
        return done

    def close(self) -> None:
        """Nothing is under way."""


class Scene(Recorded):
    """A recording session in the middle of its run, with a taker."""

    def __init__(self, every_ns: int | None = None, *, sleep: bool = False) -> None:
        super().__init__(sleep=sleep)
        self.power_on()
        self.store = FakeStore()
        self.asked: list[tuple[Message, int]] = []
        fake = cast("Any", self.store)  # it has all that is used of both
        self.taker = Taker("id", NODES, self._tell, fake, fake, every_ns)
        self.heard: list[Written] = []

    def _tell(self, message: Message, target: int) -> None:
        self.asked.append((message, target))

    def tick(self, now_ns: int = 0) -> list[tuple[Message, int]]:
        """Time has passed; who has been asked what."""
        asked, self.asked = self.asked, []
        self.taker.tick(self.session, now_ns)
        asked += self.asked
        self.asked = []
        return asked

    def saved(self, node: int, icount: int = 500, *, whole: bool = True) -> list[tuple[Message, int]]:
        """A node tells its state."""
        state = b"state of %d" % node
        message = m.Saved(state, "/staging", 4096, b"", whole) if node == CPU else m.Saved(state)
        self.taker.hear(self.session, frame_of(message, node, 0, icount), 100 * node)
        asked, self.asked = self.asked, []
        return asked

    def all_saved(self, *, whole: bool = True) -> None:
        """Every node does."""
        for node in NODES:
            self.saved(node, whole=whole)


def test_the_cpu_is_asked_first_then_every_device_while_it_stands_and_then_it_may_run() -> None:
    scene = Scene()
    scene.taker.request("here", scene.heard.append)
    assert scene.tick() == [(m.Save(whole=True), CPU)]
    assert scene.tick() == []
    assert scene.saved(CPU) == [(m.Save(), SERIAL), (m.Save(), RTC)]
    assert scene.saved(RTC) == []
    assert scene.saved(SERIAL) == [(m.Proceed(), CPU)]
    ((snapshot, memory, base),) = scene.store.jobs
    assert (snapshot.number, snapshot.icount, snapshot.label, base) == (0, 500, "here", None)
    assert (snapshot.seq, snapshot.chain) == (scene.ledger.messages, scene.ledger.digest())
    assert snapshot.nodes == tuple(NodeState(NODES[n], b"state of %d" % n) for n in (CPU, SERIAL, RTC))
    assert memory.staging == "/staging"
    scene.store.done = [Written(1, 10)]
    scene.tick()
    ((number, size, pause_ns),) = [(w.number, w.size, w.pause_ns) for w in scene.heard]
    assert (number, size, pause_ns > 0) == (1, 10, True)


def test_what_a_device_tells_late_of_a_snapshot_that_was_given_up_is_in_no_other() -> None:
    scene = Scene()
    scene.taker.request("", scene.heard.append)
    scene.tick()
    scene.saved(CPU)
    scene.saved(RTC)
    scene.taker.cpu_lost(scene.session)
    assert scene.tick() == [(m.Save(whole=True), CPU)]
    scene.taker.hear(scene.session, frame_of(m.Saved(b"of then"), SERIAL, 0, 500), 0)
    scene.all_saved()
    ((snapshot, _, _),) = scene.store.jobs
    assert snapshot.nodes == tuple(NodeState(NODES[n], b"state of %d" % n) for n in (CPU, SERIAL, RTC))


def test_a_cpu_without_room_for_a_copy_runs_on_and_the_next_snapshot_is_of_all_memory() -> None:
    scene = Scene()
    scene.taker.loaded(7)
    scene.taker.request("here", scene.heard.append)
    assert scene.tick() == [(m.Save(), CPU)]
    refused = m.Saved(b"", refused="cpu: no room")
    scene.taker.hear(scene.session, frame_of(refused, CPU, 0, 500), 100)
    assert scene.asked == [(m.Proceed(), CPU)]
    assert [(written.number, written.error) for written in scene.heard] == [(0, "cpu: no room")]
    assert (scene.store.jobs, scene.taker.failed) == ([], 1)
    scene.asked.clear()
    scene.taker.request("again", scene.heard.append)
    assert scene.tick() == [(m.Save(whole=True), CPU)]
    scene.all_saved()
    ((snapshot, _, base),) = scene.store.jobs
    assert (snapshot.label, base) == ("again", None)


def test_a_broker_without_room_for_a_distant_cpu_s_memory_takes_the_rest_of_it_and_makes_no_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    part = m.SavedPages(4096, zstandard.compress(b"x" * 4096))

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    scene.taker.request("here", scene.heard.append)
    scene.tick()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", refuse)
        for _ in range(2):
            scene.taker.hear(scene.session, frame_of(part, CPU, 0, 0), 100)
        scene.taker.hear(scene.session, frame_of(m.Saved(b"state", "", 4096, b"\1\0\0\0", True), CPU, 0, 500), 100)
    assert scene.asked == [(m.PagesTaken(), CPU)] * 2 + [(m.Proceed(), CPU)]
    assert [w.error for w in scene.heard] == ["no room for a copy of the guest's memory: Cannot allocate memory"]
    scene.taker.close()


def test_nothing_of_it_is_logged() -> None:
    scene = Scene()
    before = list(scene.ledger.frames)
    scene.taker.request("", scene.heard.append)
    scene.tick()
    scene.all_saved()
    assert scene.ledger.frames == before
    assert scene.stage.take() == []


def test_the_next_one_is_asked_for_when_the_last_is_written_and_is_a_change_of_it() -> None:
    scene = Scene()
    for _ in range(2):
        scene.taker.request("", scene.heard.append)
    scene.tick()
    scene.all_saved()
    assert scene.tick() == []
    # Which number it has is the store's to say: somebody else may have had the next one.
    scene.store.done = [Written(7)]
    assert scene.tick() == [(m.Save(whole=False), CPU)]
    scene.all_saved(whole=False)
    assert [(snapshot.number, base) for snapshot, _, base in scene.store.jobs] == [(0, None), (0, 7)]


def test_what_is_loaded_while_one_is_written_is_what_the_next_one_is_a_change_of() -> None:
    for number, whole in ((4, False), (0, True)):
        scene = Scene()
        for _ in range(2):
            scene.taker.request("", scene.heard.append)
        scene.tick()
        scene.all_saved()
        scene.taker.loaded(number)
        scene.store.done = [Written(7)]
        assert scene.tick() == [(m.Save(whole=whole), CPU)]
        scene.all_saved(whole=whole)
        assert scene.store.jobs[1][2] == (None if whole else 4)


def test_behind_one_that_could_not_be_written_all_memory_is_asked_for() -> None:
    scene = Scene()
    for _ in range(2):
        scene.taker.request("", scene.heard.append)
    scene.tick()
    scene.all_saved()
    scene.store.done = [Written(1, error="no space")]
    assert scene.tick() == [(m.Save(whole=True), CPU)]
    assert [written.error for written in scene.heard] == ["no space"]


def test_a_period_asks_again_after_ever_more_time_while_the_disk_is_full(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(PERIOD_NS)
    assert scene.tick(0) == []
    period = 0
    for wait in (1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT):
        for _ in range(wait - 1):
            period += 1
            assert scene.tick(period * PERIOD_NS) == []
        period += 1
        assert scene.tick(period * PERIOD_NS) == [(m.Save(whole=True), CPU)]
        scene.all_saved()
        scene.store.done = [Written(1, error="no space")]
        scene.tick(period * PERIOD_NS)
    assert caplog.messages[1] == "no snapshot, the next is tried in 4e-06 s: no space"
    period += LONGEST_WAIT
    for late in range(LONGEST_WAIT):
        scene.tick((period - LONGEST_WAIT + 1 + late) * PERIOD_NS)
    scene.all_saved()
    scene.store.done = [Written(2)]
    scene.tick(period * PERIOD_NS)
    assert scene.tick((period + 1) * PERIOD_NS) == [(m.Save(), CPU)]


def test_one_by_period_that_the_end_of_the_run_overtakes_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(PERIOD_NS)
    scene.tick(0)
    assert scene.tick(PERIOD_NS) == [(m.Save(whole=True), CPU)]
    scene.taker.give_up("the run is over")
    assert caplog.text == ""


def test_in_the_middle_of_a_sync_point_nobody_is_asked() -> None:
    scene = Scene()
    say(scene.session, m.HostInput(m.HostEvent.DATA, b"a"), SERIAL, 10)
    say(scene.session, m.Sync(), CPU, 20)
    scene.taker.request("", scene.heard.append)
    assert scene.tick() == []
    say(scene.session, m.Done(), SERIAL, 20)
    assert scene.tick() == [(m.Save(whole=True), CPU)]


def test_a_guest_that_falls_asleep_is_not_woken_before_it_has_told_its_state() -> None:
    scene = Scene()
    scene.taker.request("", scene.heard.append)
    scene.tick()
    say(scene.session, m.HostInput(m.HostEvent.DATA, b"a"), SERIAL, 10)
    scene.stage.take()
    say(scene.session, m.Sync(idle=True, timer_ns=7), CPU, 20)
    assert scene.stage.take() == []
    scene.all_saved()
    # What came meanwhile is delivered at no cost of time, as it would have been.
    assert scene.stage.take() == [(CPU, m.SyncPoint(0)), (SERIAL, m.HostInput(m.HostEvent.DATA, b"a"))]
    (job,) = scene.store.jobs
    pending = PendingInput(SERIAL, 10, _payload(b"a"))
    assert vmstate.decode(BrokerState, job[0].broker) == BrokerState(0, (pending,))


def test_a_run_that_ends_tells_who_waits_that_there_is_none() -> None:
    scene = Scene()
    for _ in range(2):
        scene.taker.request("", scene.heard.append)
    scene.tick()
    scene.taker.give_up("the run is over")
    assert scene.heard == [Written(0, error="the run is over")] * 2


def _payload(data: bytes) -> bytes:
    return frame_of(m.HostInput(m.HostEvent.DATA, data), SERIAL, 0, 0).payload


def test_memory_of_another_host_is_taken_and_counted_as_the_cpu_s_copy() -> None:
    scene = Scene()
    part = m.SavedPages(4096, zstandard.compress(b"x" * 4096))
    with pytest.raises(RemoteWireError, match="nobody asked for"):
        scene.taker.hear(scene.session, frame_of(part, CPU, 0, 0), 100)
    scene.taker.request("", scene.heard.append)
    scene.tick()
    scene.taker.hear(scene.session, frame_of(part, CPU, 0, 0), 100)
    assert scene.asked == [(m.PagesTaken(), CPU)]
    scene.taker.hear(scene.session, frame_of(m.Saved(b"state", "", 4096, b"\1\0\0\0", True), CPU, 0, 500), 100)
    with pytest.raises(RemoteWireError, match="nobody asked for"):
        scene.taker.hear(scene.session, frame_of(part, CPU, 0, 500), 100)
    scene.saved(SERIAL)
    assert scene.taker.stood_ns == 0
    scene.saved(RTC)
    assert scene.taker.stood_ns == 100 * RTC - 100
    ((_, memory, _),) = scene.store.jobs
    with open(memory.staging, "rb") as copy:
        assert copy.read() == bytes(4096) + b"x" * 4096 + bytes(scene.session.board.memory - 8192)
    scene.taker.close()


def test_a_host_that_starts_no_process_for_snapshots_says_so_and_the_broker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    store = StoreProcess(tmp_path, "00" * 16, None)
    store.delete(3)
    why = "the process that writes snapshots cannot be started: No such file or directory"
    assert store.answers() == [Written(3, error=why, deleted=True)]
    assert store.finish(0.0) == []
    store.close()
