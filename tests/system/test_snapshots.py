"""Snapshots: taken while a machine records, they change nothing, and a replay that starts at one is the same replay."""

from __future__ import annotations

import random
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from machine.icount import CPU
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.debian_session import DebianSession
from tests.harness.guests import guest
from tests.harness.machine import final_digest

if TYPE_CHECKING:
    from pathlib import Path

    from machine.recording.snapshots.store import Head
    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_USAGE = 2
DELETING = """
import sys
from contextlib import suppress
from pathlib import Path
from cpu_node.staging import Tracking
from cpu_node.timeline.laying import Layer
from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from machine.errors import MissingSnapshot
from machine.recording.reader import Recording
from machine.recording.snapshots.writer import SnapshotWriter

class Deleting(Layer):
    def _await_child(self):
        super()._await_child()
        if self._number is not None and self._number % 2 == 0:
            with suppress(MissingSnapshot):
                SnapshotWriter(recording.path, recording.facts.id).delete(self._number)

recording = Recording.open(Path(sys.argv[1]))
player = Player(recording, recording.board, Perturbation(), staging=Tracking)
Deleting(recording, player).lay(recording.end_icount // 9 + 1)
"""
"""Makes snapshots, and takes each second one away before the next, which would have built on it."""


def snapshots(recording: Path) -> tuple[Head, ...]:
    """A recording's snapshots, none of which is damaged."""
    store = SnapshotStore(recording, Recording.open(recording).facts.id)
    heads = store.list()
    assert store.damage == ()
    return heads


def places(recording: Path, count: int) -> list[int]:
    """Both ends, around snapshots and messages, and anywhere."""
    opened = Recording.open(recording)
    messages = sorted({frame.icount for frame in opened.frames()})
    heads = [head.icount for head in snapshots(recording)]
    draw = random.Random(7)
    near = [at + off for at in draw.sample(messages, 1) + heads[:1] + heads[-1:] for off in (-1, 0, 1)]
    anywhere = [draw.randrange(opened.end_icount) for _ in range(count)]
    return [0, opened.end_icount, *(at for at in near if 0 < at < opened.end_icount), *anywhere]


def stop(home: Home, recording: Path, word: str, icount: int, devices: str) -> str:
    """The digest where a replay stops."""
    done = home.run("replay", recording, word, str(icount), "--devices", devices, "--json")
    assert done.exit_code == 0, done.stderr
    assert done.json["icount"] == icount
    return str(done.json["digest"])


def test_a_run_with_snapshots_is_the_run_without_to_the_byte(home: Home) -> None:
    line = ("bare", "--kernel", guest("chatter"), "--serial", "null", "--sleep", "off")
    plain = home.record(*line, name="plain")
    kept = home.record(*line, "--snapshot-every", "20ms", name="kept")
    assert snapshots(kept)
    assert not snapshots(plain)
    assert list(Recording.open(kept).frames()) == list(Recording.open(plain).frames())
    assert final_digest(kept) == final_digest(plain)
    home.verify_both_ways(kept)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("devices", ["log", "live"])
def test_a_place_is_the_same_whether_it_is_reached_from_power_on_or_from_a_snapshot(home: Home, devices: str) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("chatter"), "--snapshot-every", "20ms")
    assert len(snapshots(recording)) > 1
    for icount in places(recording, 2):
        there = stop(home, recording, "--until", icount, devices)
        assert stop(home, recording, "--seek", icount, devices) == there, icount


def test_exceptions_that_arithmetic_has_raised_are_there_behind_a_snapshot(home: Home) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("inexact"))
    made = home.run("snapshots", recording, "--make", str(Recording.open(recording).end_icount // 12))
    assert made.exit_code == 0, made.stderr
    for head in snapshots(recording)[2::3]:
        there = stop(home, recording, "--until", head.icount, "log")
        assert stop(home, recording, "--seek", head.icount, "log") == there, head.icount
    parts = home.run("verify", recording, "--jobs", "2", "--json")
    assert parts.exit_code == 0, parts.stderr
    assert (parts.json["bit_exact"], parts.json["parts"]) == (True, 2)


def test_a_seek_beyond_the_end_is_a_usage_error_that_names_the_range(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("timer"), "--serial", "null", "--sleep", "off")
    end = Recording.open(recording).end_icount
    done = home.run("replay", recording, "--seek", str(end + 1))
    assert done.exit_code == EXIT_USAGE
    assert f"0 to {end}" in done.complaint


def test_a_snapshot_of_another_recording_is_refused_by_its_id(home: Home) -> None:
    line = ("bare", "--kernel", guest("chatter"), "--serial", "null", "--snapshot-every", "20ms")
    ours = home.record(*line, name="ours")
    theirs = home.record(*line, name="theirs")
    shutil.rmtree(ours / "snapshots")
    shutil.copytree(theirs / "snapshots", ours / "snapshots")
    done = home.run("replay", ours, "--seek", str(Recording.open(ours).end_icount), "--json")
    # It is left out, and said; the replay begins at power-on instead.
    assert done.exit_code == 0, done.stderr
    assert Recording.open(theirs).facts.id in done.stderr
    assert Recording.open(ours).facts.id in done.stderr


def test_a_snapshot_is_made_whole_where_the_one_before_has_been_deleted(home: Home) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("chatter"))
    done = home.start_argv([sys.executable, "-P", "-c", DELETING, str(recording)]).finish()
    assert done.exit_code == 0, done.stderr
    assert [head.number for head in snapshots(recording)] == [1, 3, 5, 7]
    parts = home.run("verify", recording, "--jobs", "99", "--json")
    assert (parts.json["bit_exact"], parts.json["parts"]) == (True, 5)


def test_snapshots_are_made_of_a_recording_that_has_none(home: Home) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("chatter"))
    end = Recording.open(recording).end_icount
    done = home.run("snapshots", recording, "--make", str(end // 5), "--json")
    assert done.exit_code == 0, done.stderr
    heads = snapshots(recording)
    assert len(heads) == 4  # at each fifth but the last, which is the end
    for icount in (heads[0].icount - 1, heads[0].icount, heads[2].icount + 12_345):
        assert stop(home, recording, "--seek", icount, "log") == stop(home, recording, "--until", icount, "log")
    last = max(frame.seq for frame in Recording.open(recording).frames() if CPU in (frame.source, frame.target))
    for head in heads:
        opened = Recording.open(recording)
        player = Player(opened, opened.board, Perturbation(), head.number)
        assert player.icount == head.icount
        assert not player.run_on(end)
        assert player.link.seq == last
    home.verify_both_ways(recording)


@pytest.mark.parametrize("word", ["9999", "-5"])
def test_snapshots_that_are_too_many_are_refused(home: Home, word: str) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("timer"), "--sleep", "off")
    done = home.run("snapshots", recording, f"--make={word}")
    assert done.exit_code == EXIT_USAGE
    assert "10,000 instructions are the least" in done.complaint


def test_snapshots_without_a_recording_are_refused(home: Home) -> None:
    done = home.run("run", "bare", "--kernel", guest("timer"), "--serial", "null", "--snapshot-every", "1s")
    assert done.exit_code == EXIT_USAGE
    assert "no recording to keep snapshots in" in done.complaint


@pytest.mark.parametrize("word", ["2", "0s", "-1s", "soon"])
def test_a_period_that_is_no_time_is_named(home: Home, word: str) -> None:
    line = ("bare", "--kernel", guest("timer"), "--serial", "null", f"--snapshot-every={word}")
    done = home.run("record", *line)
    assert done.exit_code == EXIT_USAGE
    assert "--snapshot-every" in done.complaint
    assert not home.recordings()


@pytest.mark.debian
@pytest.mark.timeout(300)
def test_debian_with_many_devices_goes_on_from_any_snapshot(home: Home) -> None:
    devices = ("--nic", "none", "--input", "kbd", "--usb", "kbd", "--usb", "mouse", "--rng", "host")
    with DebianSession(home, *devices, "--snapshot-every", "300ms") as session:
        for i in range(6):
            session.do(f"head -c 64 /dev/hwrng | md5sum; ls /sys/class/net; date; echo {i}; sleep 0.2")
    recording = session.recording
    heads = snapshots(recording)
    assert len(heads) > 4
    home.verify_both_ways(recording)
    for head in (heads[1], heads[len(heads) // 2], heads[-1]):
        icount = min(head.icount + 1_234_567, Recording.open(recording).end_icount)
        log, live = (stop(home, recording, "--seek", icount, devices) for devices in ("log", "live"))
        assert log == live == stop(home, recording, "--until", icount, "log")
