"""A part of a recording is a recording: it begins at a snapshot, replays, verifies, is packed and cut again."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from machine.errors import UsageError
from machine.recording.chain import Chain
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.snapshots.writer import SnapshotWriter
from machine.recording.trusted import trusted
from tests.harness.guests import guest
from tests.harness.machine import final_digest, spoil, spoil_pages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system
EXIT_USAGE, EXIT_UNREADABLE = 2, 4


@pytest.fixture
def whole(home: Home) -> Path:
    """A recording with several snapshots."""
    chatter = ("bare", "--kernel", guest("chatter"), "--serial", "null")
    return home.record(*chatter, "--snapshot-every", "100ms")


def _cut(home: Home, recording: Path, *options: str | Path) -> Path:
    made = home.work / f"{recording.stem}-cut.dejavm"
    done = home.run("cut", recording, *options)
    assert done.exit_code == 0, done.stderr
    return made


def _digest_at(recording: Path, seq: int) -> str:
    """The chain of a whole recording behind a message."""
    chain = Chain()
    for frame in islice(Recording.open(recording).frames(), seq):
        chain.add(frame)
    return chain.digest().hex()


def test_a_cut_replays_both_ways_to_the_digest_the_whole_has_there(home: Home, whole: Path) -> None:
    end = Recording.open(whole).end_icount
    part = _cut(home, whole, "--from", str(end // 2), "--to", str(end * 3 // 4))
    frames = list(Recording.open(part).frames())
    assert 1 < frames[0].seq < frames[-1].seq
    assert frames[-1].icount <= end * 3 // 4
    digest = home.verify_both_ways(part)
    assert digest == final_digest(part) == _digest_at(whole, frames[-1].seq)
    # The same instruction is the same state, whichever of the two it is come to in.
    stop = str(frames[-1].icount - 1000)
    there, here = (home.run("replay", path, "--until", stop, "--json").json["digest"] for path in (whole, part))
    assert there == here
    assert home.run("bisect", part, "--json").json["same"] is True


def test_a_cut_to_the_end_has_the_end_and_is_cut_again_and_packed(home: Home, whole: Path) -> None:
    end = Recording.open(whole).end_icount
    part = _cut(home, whole, "--from", str(end // 2))
    assert Recording.open(part).clean_end
    assert home.verify_both_ways(part) == final_digest(whole)
    again = _cut(home, part, "--to", str(end * 3 // 4))
    home.verify_both_ways(again)
    packed = home.path / "part.dejavm.tar.zst"
    assert home.run("pack", again, "-o", packed).exit_code == 0
    digest = final_digest(again)
    for path in (whole, part, again):
        shutil.rmtree(path)
    assert home.run("unpack", packed, "-o", "there.dejavm").exit_code == 0
    assert home.verify_both_ways(home.work / "there.dejavm") == digest


def test_the_snapshot_a_cut_begins_with_cannot_be_deleted(home: Home, whole: Path) -> None:
    end = Recording.open(whole).end_icount
    part = _cut(home, whole, "--from", str(end // 2))
    (shown,) = home.run("snapshots", part, "--json").json["snapshots"]
    for word in (str(shown["number"]), shown["label"]):
        done = home.run("snapshots", part, "--delete", word)
        assert (done.exit_code, "begins with; it cannot be deleted" in done.complaint) == (EXIT_USAGE, True)
    # Whoever asks through a monitor asks the writer.
    with pytest.raises(UsageError, match="what the recording begins with"):
        SnapshotWriter(part, Recording.open(part).facts.id).delete(shown["number"])
    home.verify_both_ways(part)


def test_the_dump_of_a_cut_is_assembled_with_the_snapshot_it_begins_with(home: Home, whole: Path) -> None:
    part = _cut(home, whole, "--from", str(Recording.open(whole).end_icount // 2))
    rows = home.run("dump", part, "--json").stdout.encode()
    done = home.run("assemble", "-", "-o", "again.dejavm", stdin=rows)
    assert done.exit_code == EXIT_USAGE
    assert "the dump of a cut" in done.complaint
    assert not (home.work / "again.dejavm").exists()
    done = home.run("assemble", "-", "--machine", part, "-o", "again.dejavm", stdin=rows)
    assert done.exit_code == 0, done.stderr
    again = home.work / "again.dejavm"
    assert list(Recording.open(again).frames()) == list(Recording.open(part).frames())
    assert home.verify_both_ways(again) == final_digest(part)


def test_without_a_snapshot_in_front_it_begins_at_power_on_and_says_so(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("counters"), "--serial", "null")
    end = Recording.open(recording).end_icount
    done = home.run("cut", recording, "--from", str(end // 2), "--to", str(end // 2), "-o", "a-cut.dejavm")
    assert done.exit_code == 0
    assert "it begins at instruction 0: there is no snapshot" in done.stderr
    home.verify_both_ways(home.work / "a-cut.dejavm")


def test_a_cut_that_begins_with_the_cpus_state_alone_replays_from_the_log_and_names_who_is_missing(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("counters"), "--serial", "null")
    end = Recording.open(recording).end_icount
    assert home.run("snapshots", recording, "--make", str(end // 4)).exit_code == 0
    part = _cut(home, recording, "--from", str(end // 2))
    assert Recording.open(part).begin_icount > 0
    assert home.verify(part) == final_digest(recording)
    place = f"{part}@{end * 3 // 4}"
    for words in (("verify", part, "--devices", "live"), ("replay", part, "--serial", "null"), ("branch", place)):
        done = home.run(*words)
        assert done.exit_code == EXIT_USAGE, done.stderr
        assert "no state of serial0, rtc0: it replays from the log" in done.complaint


def test_what_is_good_of_a_damaged_recording_is_cut_out_and_redacted_and_the_damage_told(home: Home) -> None:
    whole = home.record("bare", "--kernel", guest("chatter"), "--serial", "null")
    spoil(whole)
    *frames, last = trusted(Recording.open(whole).frames(), [])
    damage, end = Recording.open(whole).summary().damage, Recording.open(whole).end_icount
    made = home.work / "made.dejavm"
    for words in (("cut",), ("cut", "--to", str((last.icount + end) // 2)), ("redact", "--channel", "rtc0")):
        done = home.run(*words, whole, "-o", made)
        assert (done.exit_code, damage in done.complaint) == (EXIT_UNREADABLE, True)
        again = Recording.open(made)
        assert (again.end_icount, again.messages, again.summary().damage) == (last.icount, last.seq, "")
        if words[0] == "cut":
            assert list(again.frames()) == [*frames, last]
            home.verify_both_ways(made)
        shutil.rmtree(made)
    done = home.run("cut", whole, "--from", str(last.icount + 1), "-o", made)
    assert (done.exit_code, made.exists()) == (EXIT_UNREADABLE, False)
    assert home.run("cut", whole, "--to", str(last.icount - 1), "-o", made).exit_code == 0


def test_what_cannot_be_cut_leaves_nothing(home: Home, whole: Path) -> None:
    end = Recording.open(whole).end_icount
    for low, high in ((0, end + 1), (2, 1), (-1, 5)):
        done = home.run("cut", whole, f"--from={low}", f"--to={high}", "-o", "b.dejavm")
        assert done.exit_code == EXIT_USAGE
        assert f"goes from 0 to {end}" in done.complaint
    part = _cut(home, whole, "--from", str(end // 2))
    spoil_pages(part)
    done = home.run("cut", part, "-o", "b.dejavm")
    assert done.exit_code == EXIT_UNREADABLE
    assert "frame 0 is" in done.stderr
    assert not (home.work / "b.dejavm").exists()
    shutil.rmtree(part / "snapshots")
    done = home.run("verify", part)
    assert done.exit_code != 0
    assert "snapshot" in done.complaint
    done = home.run("cut", part, "-o", "b.dejavm")
    assert done.exit_code == EXIT_UNREADABLE
    assert not (home.work / "b.dejavm").exists()


def test_a_part_in_which_nothing_happens_replays_like_any_other(home: Home, whole: Path) -> None:
    heads = SnapshotStore(whole, Recording.open(whole).facts.id).list()
    messages = {frame.icount for frame in Recording.open(whole).frames()}
    place = next(head.icount for head in heads if head.icount not in messages)
    empty = _cut(home, whole, "--from", str(place), "--to", str(place))
    opened = Recording.open(empty)
    assert (opened.begin_icount, opened.end_icount, list(opened.frames())) == (place, place, [])
    for words in (("replay", empty, "--until", str(place)), ("replay", empty, "--seek", str(place)), ("verify", empty)):
        done = home.run(*words, "--json")
        assert done.exit_code == 0, done.stderr
    assert json.loads(home.run("analyse", empty).stdout) == []
    assert home.run("cut", empty, "-o", "again.dejavm").exit_code == 0
