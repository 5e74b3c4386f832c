"""How far a recording is that is replayed in parts: told by each of them, added up, shown."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from cpu_node.timeline import segment
from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from deploy import progress
from deploy.analysis.crew import Crew
from deploy.analysis.segments import Segment
from deploy.analysis.verification import verify_in_parts
from deploy.analysis.work import Task
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.guests import guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EVERY = 1 << 22
COUNTS = (
    0x08000537,  # lui a0, 0x8000
    0xFFF50513,  # addi a0, a0, -1
    0xFE051EE3,  # bnez a0, .-4
    0x001005B7,  # lui a1, 0x100: the test finisher
    0x00005637,  # lui a2, 0x5
    0x55560613,  # addi a2, a2, 0x555
    0x00C5A023,  # sw a2, 0(a1)
    0x0000006F,  # j .
)
"""Counts for 2^28 instructions, and switches the machine off."""


def test_a_part_tells_how_far_it_is_and_comes_to_the_same_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "TELL_EVERY", EVERY)
    path = home.record("bare", "--kernel", guest("compute"), "--serial", "null")
    assert home.run("snapshots", path, "--make", "20000000").exit_code == 0
    recording = Recording.open(path)
    (_, cut) = (head.icount for head in SnapshotStore(path, recording.facts.id).list())
    for first, last, begin, end in ((0, 2, 0, cut), (2, 0, cut, recording.end_icount)):
        told: list[int] = []
        player = Player(recording, recording.board, Perturbation(), first)
        found = segment.replay_part(recording, player, last, (), told.append)
        assert found == {"icount": end}
        assert told == sorted(set(told))
        assert begin < told[0] <= told[-1] < end
        # At the first sync point behind each multiple.
        assert [icount // EVERY for icount in told] == list(range(begin // EVERY + 1, (end - 1) // EVERY))


def test_what_parts_have_told_is_added_up_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Task("", "", Segment(number, number + 1, 1000 * number, 1000 * number + 1000)) for number in range(2)]
    ends = [os.pipe() for _ in parts]
    readers = iter(os.fdopen(end, "rb", 0) for end, _ in ends)
    monkeypatch.setattr(Crew, "_order", lambda *_: next(readers))
    told: list[int] = []
    with Crew() as crew, crew.at_work(parts, 2, told.append) as answers:
        for (_, end), said in zip(
            ends, (b"100\n300\n" + json.dumps({"icount": 1000}).encode(), b"1200\n"), strict=True
        ):
            os.write(end, said)
        os.close(ends[0][1])
        os.write(ends[1][1], b'{"icount": 2000}')
        os.close(ends[1][1])
        assert answers() == [{"icount": 1000}, {"icount": 2000}]
    assert set(told) <= {200, 300, 500}
    assert told[-1] == 500


def test_parts_show_how_far_they_are_like_a_run(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    monkeypatch.setattr(progress, "LINE_PERIOD_S", 0.0)
    kernel = tmp_path / "counts.bin"
    kernel.write_bytes(b"".join(word.to_bytes(4, "little") for word in COUNTS))
    path = home.record("bare", "--kernel", kernel, "--serial", "null")
    assert home.run("snapshots", path, "--make", "140000000").exit_code == 0
    recording = Recording.open(path)
    with Crew() as crew:
        found = verify_in_parts(recording, 2, crew)
    assert (found.facts["parts"], found.facts["bit_exact"]) == (2, True)
    lines = capsys.readouterr().err.splitlines()
    shown = [int(line.partition(" instructions")[0].replace(",", "")) for line in lines]
    assert shown == sorted(set(shown))
    assert 10**8 < shown[-1] < recording.end_icount
    assert lines[-1].endswith("left")
