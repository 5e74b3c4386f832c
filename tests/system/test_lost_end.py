"""A log that has no end, or not yet: of what the guest did behind its last message nobody says anything."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from machine.recording.layout import LOG_NAME
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.guests import guest
from tests.harness.machine import final_digest
from tests.harness.monitor import Qmp, connect

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

WRITTEN = "0x80208f38"
"""Where the guest `chatter` writes in every line."""
EVERY = 500_000


def rows(home: Home, recording: Path, *words: str) -> list[list[int]]:
    """An analysis's answer."""
    done = home.run("analyse", recording, *words)
    assert done.exit_code in (0, 4), done.stderr
    found: list[list[int]] = json.loads(done.stdout)
    return found


def covered(home: Home, recording: Path) -> set[int]:
    """Where instructions began, or went on."""
    return {at for first, behind in rows(home, recording) for at in range(first, behind, 2)}


@pytest.fixture
def whole(home: Home) -> Path:
    """A guest that prints all the time."""
    return home.record("bare", "--serial", "null", "--kernel", guest("chatter"))


def test_what_is_asked_of_a_part_is_told_of_that_part_only(home: Home, whole: Path) -> None:
    wrote = rows(home, whole, "--ask", "writes", WRITTEN, "4")
    executed = covered(home, whole)
    opened, draw = Recording.open(whole), random.Random(3)
    for number in range(2):
        goal = draw.randrange(opened.end_icount // 4, opened.end_icount)
        part = home.work / f"part-{number}.dejavm"
        assert home.run("cut", whole, "--to", str(goal), "-o", part).exit_code == 0
        end = Recording.open(part).end_icount
        assert home.run("snapshots", part, "--make", str(EVERY)).exit_code == 0
        made = [head.icount for head in SnapshotStore(part, Recording.open(part).facts.id).list()]
        assert end - 2 * EVERY < made[-1] <= end
        found = rows(home, part, "--ask", "writes", WRITTEN, "4", "--jobs", "3")
        assert found == [row for row in wrote if row[0] <= end]
        assert covered(home, part) <= executed
        home.verify(part, "--jobs", "3")


def test_what_is_asked_of_a_damaged_log_is_told_as_far_as_it_is_good(home: Home, whole: Path) -> None:
    wrote = rows(home, whole, "--ask", "writes", WRITTEN, "4")
    log = whole / LOG_NAME
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    end = Recording.open(whole).end_icount
    found = rows(home, whole, "--ask", "writes", WRITTEN, "4", "--jobs", "1")
    assert found == [row for row in wrote if row[0] <= end]
    assert len(found) > 100


def test_snapshots_made_of_a_recording_that_goes_on_are_of_what_was_recorded(home: Home) -> None:
    line = ("bare", "--kernel", guest("compute"), "--serial", f"unix:{home.work}/s,server=on,wait=off")
    running = home.start("record", *line, "-o", "live.dejavm", "-S")
    recording = home.work / "live.dejavm"
    with Qmp(home) as client, connect(home.work / "s") as peer:
        client.execute("cont")
        client.execute("stop")
        made = home.run("snapshots", recording, "--make", str(EVERY))
        assert made.exit_code == 0, made.stderr
        stopped = Recording.open(recording).end_icount
        heads = SnapshotStore(recording, Recording.open(recording).facts.id).list()
        assert all(head.icount <= stopped for head in heads)
        peer.sendall(b"x")
        client.execute("cont")
        done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert stopped < Recording.open(recording).end_icount
    parts = home.run("verify", recording, "--jobs", "9", "--json")
    assert (parts.exit_code, parts.json["final_digest"]) == (0, final_digest(recording))
    end = str(Recording.open(recording).end_icount - 1)
    seek, until = (home.run("replay", recording, word, end, "--json").json for word in ("--seek", "--until"))
    assert seek == until
