"""A log with a wrong bit in its middle: what is good of it is used, by whomever, and nobody calls it another run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.guests import guest
from tests.harness.machine import spoil

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system
EXIT_UNREADABLE = 4
CHUNK_HEADER = 64
"""More than what a chunk has in front of what is packed (the specification of MCAP, Chunk), and less than all of it."""


@pytest.fixture
def recording(home: Home) -> Path:
    """Its snapshots, of all nodes and of the CPU, and its summary are good."""
    path = home.record("bare", "--kernel", guest("chatter"), "--serial", "null", "--snapshot-every", "20ms")
    assert home.run("snapshots", path, "--make", "1000000").exit_code == 0
    whole = Recording.open(path)
    store = SnapshotStore(path, whole.facts.id)
    snapshots = [store.read(head.number) for head in store.list()]
    # Chunks are as long as the host takes: one that a snapshot lies in.
    within = [snapshot.place for snapshot in snapshots if snapshot.seq > snapshot.place.seq > 0]
    spoil(path, within[len(within) // 2].offset + CHUNK_HEADER)
    whole = Recording.open(path)
    good = whole.summary()
    assert 0 < good.instructions < whole.end_icount
    assert whole.clean_end
    return path


def test_parts_give_the_answer_of_one_pass(home: Home, recording: Path) -> None:
    good = Recording.open(recording).summary()
    found = []
    for words in ((), ("--jobs", "1"), ("--jobs", "2"), ("--jobs", "9")):
        done = home.run("verify", recording, "--json", *words)
        assert (done.exit_code, good.damage in done.complaint) == (EXIT_UNREADABLE, True), words
        found.append({key: value for key, value in done.json.items() if key not in ("seconds", "parts")})
    assert all(answer == found[0] for answer in found)
    assert (found[0]["bit_exact"], found[0]["instructions"]) == (True, good.instructions)
    assert found[0]["final_digest"] == good.digest.hex()


def test_what_is_asked_of_it_is_answered_as_far_as_it_is_good(home: Home, recording: Path) -> None:
    good = Recording.open(recording).summary()
    answers = []
    for words in (("--jobs", "1"), ("--jobs", "2"), ("--jobs", "9")):
        done = home.run("analyse", recording, *words)
        assert (done.exit_code, good.damage in done.complaint) == (EXIT_UNREADABLE, True), words
        answers.append(done.stdout)
    assert answers[0]
    assert len({*answers}) == 1
    done = home.run("bisect", recording)
    assert (done.exit_code, good.damage in done.complaint) == (EXIT_UNREADABLE, True)
    assert done.stdout == f"no difference in {good.instructions:,} instructions\n"
    done = home.run("snapshots", recording, "--make", "700000")
    assert (done.exit_code, good.damage in done.complaint) == (EXIT_UNREADABLE, True)


@pytest.mark.parametrize("devices", ["log", "live"])
def test_a_seek_into_what_is_damaged_says_so(home: Home, recording: Path, devices: str) -> None:
    whole = Recording.open(recording)
    good, heads = whole.summary(), SnapshotStore(recording, whole.facts.id).list()
    behind = [head.icount + 1 for head in heads if good.instructions < head.icount < whole.end_icount]
    assert behind
    codes = set()
    for icount in behind[:: max(1, len(behind) // 4)]:
        done = home.run("replay", recording, "--seek", str(icount), "--devices", devices)
        # Behind the damaged chunk the log is good again.
        assert done.exit_code in (0, EXIT_UNREADABLE), done.stderr
        assert (good.damage in done.stderr) == (done.exit_code == EXIT_UNREADABLE)
        codes.add(done.exit_code)
    assert EXIT_UNREADABLE in codes
