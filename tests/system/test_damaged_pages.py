"""Pages of a snapshot that are damaged: whoever would begin there begins in front, says so, and comes to the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.guests import guest
from tests.harness.machine import final_digest, spoil_pages
from tests.harness.monitor import Qmp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EVERY = 5_000_000


@pytest.fixture
def recording(home: Home) -> Path:
    """A guest that computes, and snapshots of it, all of which are whole."""
    path = home.record("bare", "--kernel", guest("compute"), "--serial", "null")
    made = home.run("snapshots", path, "--make", str(EVERY))
    assert made.exit_code == 0, made.stderr
    return path


def damage(recording: Path, number: int) -> int:
    """Turn one bit in the pages that were new in a snapshot; its place."""
    spoil_pages(recording, number)
    heads = SnapshotStore(recording, Recording.open(recording).facts.id).list()
    (icount,) = (head.icount for head in heads if head.number == number)
    return icount


def test_parts_begin_at_other_snapshots_and_give_the_answer_of_one_pass(home: Home, recording: Path) -> None:
    coverage = home.run("analyse", recording, "--jobs", "1").stdout
    writes = ("analyse", recording, "--ask", "writes", "0x80202000", "--jobs")
    wrote = home.run(*writes, "1").stdout
    assert json.loads(wrote)
    chosen = int(home.run("verify", recording, "--json", "--jobs", "99").json["parts"])
    damage(recording, 5)
    done = home.run("verify", recording, "--json", "--jobs", "99")
    assert (done.exit_code, done.json["bit_exact"]) == (0, True)
    assert done.json["final_digest"] == final_digest(recording)
    assert 1 < done.json["parts"] < chosen
    assert "snapshot 5 is left out" in done.stderr
    assert "frame 0 is" in done.stderr
    for words, whole in ((("analyse", recording, "--jobs"), coverage), (writes, wrote)):
        done = home.run(*words, "99")
        assert (done.exit_code, done.stdout) == (0, whole)


def test_who_would_need_them_all_begins_at_power_on(home: Home, recording: Path) -> None:
    icount = damage(recording, 1)
    done = home.run("verify", recording, "--json", "--jobs", "2")
    assert (done.exit_code, done.json["bit_exact"], done.json["parts"]) == (0, True, 1)
    for word in ("--until", "--seek"):
        done = home.run("replay", recording, word, str(icount + 1), "--json")
        assert (done.exit_code, done.json["icount"]) == (0, icount + 1)
    assert "snapshot 1 is left out" in done.stderr


def test_a_seek_and_a_cut_begin_at_the_snapshot_in_front(home: Home, recording: Path) -> None:
    place = damage(recording, 4) + 1000
    there = home.run("replay", recording, "--until", str(place), "--json")
    done = home.run("replay", recording, "--seek", str(place), "--json")
    assert (done.exit_code, done.json) == (0, there.json)
    assert "snapshot 4 is left out" in done.stderr
    done = home.run("cut", recording, "--from", str(place), "-o", "part.dejavm")
    assert done.exit_code == 0
    assert "snapshot 4 is left out" in done.stderr
    part = Recording.open(home.work / "part.dejavm")
    assert place - 1000 - 2 * EVERY < part.begin_icount < place - 1000
    home.verify(part.path)


def test_a_replay_that_stands_goes_back_by_way_of_the_snapshot_in_front(home: Home, recording: Path) -> None:
    place, end = damage(recording, 4) + 1000, Recording.open(recording).end_icount
    running = home.start("replay", recording, "--devices", "log", "--json", "-S")
    with Qmp(home) as client:
        client.execute("stop")
        for goal in (end, place, end, place):
            client.execute("replay-seek", icount=goal)
            assert client.execute("query-replay")["icount"] == goal
        client.execute("cont")
        done = running.finish()
    assert (done.exit_code, done.json["digest"]) == (0, final_digest(recording))
    assert "snapshot 4 is left out" in done.stderr
