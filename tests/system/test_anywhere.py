"""A recording with much behind it: whoever begins anywhere in it comes to what one pass comes to."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.line import EchoLine
from tests.harness.monitor import Qmp

if TYPE_CHECKING:
    from pathlib import Path

    from machine.recording.snapshots.store import Head
    from tests.harness.machine import Home

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def recording(home: Home) -> Path:
    """Lines are typed, states are kept in the guest's sleep and by period, processes die and are stood in for."""
    line = EchoLine(home, None, "--snapshot-every", "50ms")
    with Qmp(home) as client:
        for number, node in enumerate(("serial0", "cpu", "rtc0", "cpu")):
            line.echo(b"before %d" % number)
            client.execute("snapshot-save", tag=f"before {number}")
            os.kill(home.pid_of(node), signal.SIGKILL)
            client.execute("snapshot-save", tag=f"behind {number}")
            line.echo(b"behind %d" % number)
    line.end()
    return line.path


def heads_of(recording: Path) -> tuple[Head, ...]:
    """Its snapshots; some were taken in the guest's sleep."""
    heads = SnapshotStore(recording, Recording.open(recording).facts.id).list()
    assert any(not head.front for head in heads)
    return heads


def verified(home: Home, recording: Path, *words: str) -> dict[str, Any]:
    """What verify says of it, but how long it took and in how many parts."""
    done = home.run("verify", recording, "--json", *words)
    assert done.exit_code == 0, done.stderr
    return {key: value for key, value in done.json.items() if key not in ("seconds", "parts")}


def stopped(home: Home, recording: Path, word: str, icount: int, devices: str) -> dict[str, Any]:
    """How the machine is where a replay stops."""
    done = home.run("replay", recording, word, str(icount), "--devices", devices, "--json")
    assert done.exit_code == 0, done.stderr
    return dict(done.json)


def test_parts_between_all_of_its_states_give_the_answer_of_one_pass(home: Home, recording: Path) -> None:
    assert len({head.icount for head in heads_of(recording)}) > 3
    assert verified(home, recording, "--jobs", "99") == verified(home, recording)


@pytest.mark.parametrize("devices", ["log", "live"])
def test_a_seek_to_each_of_its_states_and_behind_it_comes_where_a_replay_comes(
    home: Home, recording: Path, devices: str
) -> None:
    end = Recording.open(recording).end_icount
    places = sorted({min(head.icount + off, end) for head in heads_of(recording) for off in (0, 1)})
    for place in places[:: max(1, len(places) // 6)]:
        come_to = stopped(home, recording, "--until", place, devices)
        assert stopped(home, recording, "--seek", place, devices) == come_to, place


def test_what_is_cut_out_of_it_anywhere_replays(home: Home, recording: Path) -> None:
    heads_of(recording)
    draw, end = random.Random(3), Recording.open(recording).end_icount
    for number in range(4):
        first, last = sorted(draw.randrange(end + 1) for _ in range(2))
        cut = home.work / f"cut-{number}.dejavm"
        made = home.run("cut", recording, "--from", str(first), "--to", str(last), "-o", cut)
        assert made.exit_code == 0, made.stderr
        assert verified(home, cut, "--jobs", "3") == verified(home, cut), (first, last)
