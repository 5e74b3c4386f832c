"""Leaving a recording, and recording what comes behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from machine import message as m
from machine.board import DeviceSlot
from machine.errors import Divergence
from machine.icount import BROKER, CPU
from machine.recording.chain import Chain
from machine.recording.facts import Parent
from replay_broker.entropy import Entropies
from replay_broker.session.branch import Beginning, BranchSession
from replay_broker.session.fork import ForkSession
from replay_broker.snapshots.process import Written
from tests.unit.replay_broker.stage import BOARD, SERIAL, Stage, TalliedLedger, frame_of, recording_of, say
from tests.unit.replay_broker.test_replay import RUN

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 250
PARENT = Parent("77" * 16, "/parent", BEGIN - 3, BEGIN, 10, 4, bytes(32), 9_000, 1)
BEGINNING = Beginning(PARENT.seq, PARENT.icount, PARENT.idle_ns)


class BranchScene:
    """A branch of which every node has been put into its state."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.ledger = TalliedLedger()
        self.session = BranchSession(BOARD, self.stage.send, self.ledger, BEGINNING)
        self.session.start()


def test_a_branch_asks_for_no_reset_and_begins_where_it_stands() -> None:
    scene = BranchScene()
    assert scene.stage.take() == [(CPU, m.Grant(until_icount=BEGIN))]
    assert scene.ledger.said() == []
    # What is brought before the CPU has come to its first words kicks nobody: it comes by itself.
    say(scene.session, m.HostInput(m.HostEvent.CLOSED), SERIAL, 0)
    assert scene.stage.take() == []
    say(scene.session, m.Sync(), CPU, BEGIN)
    assert scene.stage.take() == [(CPU, m.SyncPoint()), (SERIAL, m.HostInput(m.HostEvent.CLOSED))]
    assert [row[0] for row in scene.ledger.said()] == [BEGIN, BEGIN]


def test_a_guest_asleep_where_it_begins_is_answered_at_once_though_its_state_is_wanted() -> None:
    # There its CPU waits for what comes next, and cannot tell its state.
    scene = BranchScene()
    scene.stage.take()
    scene.session.saving = True
    say(scene.session, m.Sync(idle=True, timer_ns=None), CPU, BEGIN)
    assert scene.stage.take() == [(CPU, m.SyncPoint()), (CPU, m.Grant())]
    # Here it can, and is told nothing before it has.
    say(scene.session, m.Sync(idle=True, timer_ns=None), CPU, BEGIN)
    scene.session.quit()
    assert scene.stage.take() == []
    scene.session.saved()
    assert [type(message) for _, message in scene.stage.take()] == [m.SyncPoint, m.StopRequest, m.StateRequest]


def test_a_delay_counts_from_where_the_branch_begins() -> None:
    scene = BranchScene()
    say(scene.session, m.HostInput(m.HostEvent.DATA, b"k", 100), SERIAL, 0)
    say(scene.session, m.Sync(), CPU, BEGIN)
    assert scene.stage.take()[-1] == (CPU, m.Grant(None, BEGIN + PARENT.idle_ns + 100))


def test_a_seed_goes_on_with_bytes_that_have_not_been_and_are_the_same_in_every_branch_of_a_place() -> None:
    board = replace(BOARD, devices=(DeviceSlot("rng0", "rng", 0x1000_1000, 1, backend="seed=7"),))
    first, one, two, other = (Entropies(board, seq).read(2, 32) for seq in (0, 10, 10, 11))
    assert one == two
    assert len({first, one, other}) == 3


class ForkScene:
    """A replay that is to be left."""

    def __init__(self, path: Path, at: int) -> None:
        self.stage = Stage()
        self.session = ForkSession(recording_of(path, RUN), self.stage.send, at)
        self.session.start()

    def until_output(self) -> None:
        """Everything up to what the guest has said."""
        say(self.session, m.Sync(), CPU)
        for icount, source, target, message in RUN[2:10]:
            if source != BROKER and not isinstance(message, m.BackendResult):
                say(self.session, message, source, icount, target)


def test_the_cpu_hears_first_where_to_stand_and_is_asked_there(tmp_path: Path) -> None:
    scene = ForkScene(tmp_path / "r", 200)
    session = scene.session
    assert scene.stage.take()[0] == (CPU, m.Pause(on=True, at_icount=200))
    scene.until_output()
    assert not session.may_save()
    scene.stage.take()
    session.stands_still()
    assert session.may_save()
    session.saving = True
    session.tick()
    assert scene.stage.take() == [(CPU, m.Pause(on=False))]
    point = session.point(BEGIN)
    chain = Chain()
    for seq, (icount, source, target, message) in enumerate(RUN[:10], 1):
        chain.add(frame_of(message, source, target, icount, seq))
    assert (point.seq, point.chain, point.place.offset) == (10, chain.digest(), 0)
    session.saved()
    assert scene.stage.take() == [(CPU, m.Pause(on=True))]
    # What the nodes say from now on belongs to no run.
    say(session, m.Sync(), CPU, BEGIN)
    assert scene.stage.take() == []
    before = session.outcome
    assert before is None
    session.kept(Written(1, 4096))
    assert session.outcome is not None
    assert session.outcome.state is m.RunState.STOPPED


def test_a_state_that_cannot_be_kept_is_the_end(tmp_path: Path) -> None:
    scene = ForkScene(tmp_path / "r", 200)
    scene.session.kept(Written(1, error="no space left"))
    assert scene.session.outcome is not None
    assert (scene.session.outcome.state, scene.session.outcome.detail) == (m.RunState.FAILED, "no space left")


def test_up_to_the_place_the_run_is_compared(tmp_path: Path) -> None:
    scene = ForkScene(tmp_path / "r", 200)
    say(scene.session, m.Sync(), CPU)
    with pytest.raises(Divergence, match="expected"):
        say(scene.session, m.IrqLevel(True), SERIAL, 0, CPU)
