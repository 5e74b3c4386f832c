"""Going live: a branch is the parent's run up to a place, goes on with other hands, and is a recording by itself."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from machine.codec import decode, type_of
from machine.message import HostEvent, HostInput
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore
from tests.harness.guests import guest
from tests.harness.machine import console, final_digest, spoil, typed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Finished, Home

pytestmark = pytest.mark.system

EXIT_USAGE = 2
EXIT_UNREADABLE = 4
HELLO, WORLD, EOT = b"hello\n", b"world\n", b"\x04"
PARENT = """
expect READY
send "hello\\n"
expect HELLO
delay 5ms
send "world\\n"
expect WORLD
delay 5ms
send "\\x04"
expect PASS
"""
CHILD = 'send "other\\n"\nexpect OTHER\ndelay 1ms\nsend "\\x04"\nexpect PASS\n'


@pytest.fixture
def parent(home: Home) -> Path:
    """A guest that echoes, twice typed at."""
    line = ("bare", "--kernel", guest("echo"), "--serial", home.script(PARENT, "parent.txt"), "--sleep", "off")
    return home.record(*line, name="parent")


def branch(home: Home, place: str, name: str = "child", *more: str) -> Finished:
    """A branch with something else typed."""
    script = home.script(CHILD, "child.txt")
    return home.run("branch", place, "--serial", script, *more, "-o", home.work / f"{name}.dejavm")


def branched(home: Home, place: str, name: str = "child", *more: str) -> Path:
    """The recording of a branch that came about."""
    done = branch(home, place, name, *more)
    assert done.exit_code == 0, done.stderr
    return home.work / f"{name}.dejavm"


def stamp_of(recording: Path, text: bytes) -> int:
    """The instruction at which something typed was delivered."""
    for frame in Recording.open(recording).frames():
        message = decode(frame.type, frame.payload)
        if isinstance(message, HostInput) and message.data == text:
            return frame.icount
    raise AssertionError(f"nobody typed {text!r}")


def test_a_branch_goes_on_with_other_input_and_replays_by_itself(home: Home, parent: Path) -> None:
    place = stamp_of(parent, WORLD)
    before = final_digest(parent)
    child = branched(home, f"{parent}@{place}")
    assert b"OTHER\n" in console(child)
    # The guest remembers what was typed before.
    assert b"count 12 " in console(child)
    assert typed(child).startswith(b"other\n")
    assert final_digest(parent) == before
    shutil.move(parent, home.work / "elsewhere")
    digest = home.verify_both_ways(child)
    info = home.run("info", child, "--json").json
    assert info["parent"]["path"] == str(parent)
    assert info["final_digest"] == digest
    end = Recording.open(child).end_icount
    ends = {
        home.run("replay", child, word, str(end), "--devices", devices, "--json").json["digest"]
        for word, devices in (("--until", "log"), ("--seek", "log"), ("--until", "live"))
    }
    assert len(ends) == 1


def test_the_guest_sees_the_line_go_and_come_back(home: Home, parent: Path) -> None:
    child = Recording.open(branched(home, f"{parent}@{stamp_of(parent, WORLD)}"))
    inputs = [decode(f.type, f.payload) for f in child.frames() if f.type == type_of(HostInput)]
    events = [message.event for message in inputs if isinstance(message, HostInput)]
    assert events[:3] == [HostEvent.CLOSED, HostEvent.OPENED, HostEvent.DATA]


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_around_an_input_the_run_is_the_parents_up_to_the_branch(home: Home, parent: Path, off: int) -> None:
    place = stamp_of(parent, WORLD) + off
    child = Recording.open(branched(home, f"{parent}@{place}"))
    origin = child.facts.parent
    assert origin is not None
    assert (origin.wanted, origin.icount >= place) == (place, True)
    # What the parent was told at that very instruction it is not told any more.
    assert (typed(child.path)[:5] == b"other", origin.icount == place) == (True, off == 0)
    home.verify_both_ways(child.path)


def test_a_branch_at_power_on_begins_behind_it(home: Home, parent: Path) -> None:
    done = home.run("branch", f"{parent}@0", "--serial", home.script(PARENT), "-o", home.work / "child.dejavm")
    assert done.exit_code == 0, done.stderr
    child = home.work / "child.dejavm"
    origin = Recording.open(child).facts.parent
    assert origin is not None
    assert 0 < origin.icount < stamp_of(parent, HELLO)
    home.verify_both_ways(child)


def test_a_run_that_was_ended_from_outside_goes_on_at_its_end(home: Home) -> None:
    script = home.script("expect READY\nquit\n", "quit.txt")
    parent = home.record("bare", "--kernel", guest("echo"), "--serial", script, "--sleep", "off", name="parent")
    child = branched(home, f"{parent}@{Recording.open(parent).end_icount}")
    assert b"OTHER\n" in console(child)
    home.verify_both_ways(child)


def test_branches_of_one_place_with_the_same_hands_are_equal(home: Home, parent: Path) -> None:
    place = f"{parent}@{stamp_of(parent, WORLD) - 7}"
    one, two = (branched(home, place, name) for name in ("one", "two"))
    assert final_digest(one) == final_digest(two)
    assert home.run("diff", one, two).exit_code == 0


def test_a_branch_of_a_branch_stores_only_what_is_new_and_packs_whole(home: Home) -> None:
    script = home.script(PARENT, "parent.txt")
    line = ("bare", "--kernel", guest("echo"), "--serial", script, "--sleep", "on", "--snapshot-every", "1ms")
    parent = home.record(*line, name="parent")
    place = stamp_of(parent, EOT)
    child = branched(home, f"{parent}@{place}")
    grandchild = branched(home, f"{child}@{stamp_of(child, EOT)}", "grandchild")
    shared = [path for path in (grandchild / "snapshots").glob("*.pages") if path.stat().st_nlink > 1]
    assert shared
    packed = home.work / "g.tar.zst"
    assert home.run("pack", grandchild, "-o", packed).exit_code == 0
    for path in (parent, child, grandchild):
        shutil.rmtree(path)
    unpacked = home.work / "unpacked.dejavm"
    assert home.run("unpack", packed, "-o", unpacked).exit_code == 0
    home.verify_both_ways(unpacked)


def test_the_tree_shows_who_is_whose(home: Home, parent: Path) -> None:
    place = stamp_of(parent, WORLD)
    branched(home, f"{parent}@{place}", "one")
    branched(home, f"{home.work / 'one.dejavm'}@{place}", "two")
    branched(home, f"{parent}@{place - 600}", "zero")
    drawn = home.run("tree", ".").stdout.splitlines()
    ends = {
        name: f"{Recording.open(home.work / f'{name}.dejavm').end_icount:,}"
        for name in ("parent", "one", "two", "zero")
    }
    assert drawn == [
        f"parent.dejavm: bare, to {ends['parent']}",
        f"├── @{place - 600:,} zero.dejavm: bare, to {ends['zero']}",
        f"└── @{place:,} one.dejavm: bare, to {ends['one']}",
        f"    └── @{place:,} two.dejavm: bare, to {ends['two']}",
    ]
    shutil.rmtree(parent)
    drawn = home.run("tree", home.work / "zero.dejavm").stdout.splitlines()
    assert drawn[0].startswith(f"{parent} is not here")


@pytest.mark.parametrize("place", ["parent.dejavm", "parent.dejavm@", "parent.dejavm@-1", "parent.dejavm@0x10", "@x"])
def test_what_is_no_place_is_named(home: Home, parent: Path, place: str) -> None:
    done = branch(home, place)
    assert done.exit_code == EXIT_USAGE
    assert "REC@ICOUNT" in done.complaint


def test_what_cannot_be_branched_is_said_and_leaves_nothing(home: Home, parent: Path) -> None:
    end = Recording.open(parent).end_icount
    outside = branch(home, f"{parent}@{end + 1}")
    assert (outside.exit_code, f"from 0 to {end}" in outside.complaint) == (EXIT_USAGE, True)
    # The guest has switched itself off: nothing can come any more.
    over = branch(home, f"{parent}@{end}")
    assert (over.exit_code, "branch it earlier" in over.complaint) == (EXIT_USAGE, True)
    taken = branch(home, f"{parent}@10", "parent")
    assert (taken.exit_code, "exists already" in taken.complaint) == (EXIT_USAGE, True)
    wrong = home.run("branch", f"{parent}@10", "--nic", "none", "-o", "child.dejavm")
    assert (wrong.exit_code, "0 such devices" in wrong.complaint) == (EXIT_USAGE, True)
    unknown = home.run("branch", f"{parent}@10", "--serial", "nonsense", "-o", "child.dejavm")
    assert (unknown.exit_code, "nonsense" in unknown.complaint) == (EXIT_USAGE, True)
    assert sorted(os.listdir(home.work)) == ["child.txt", "parent.dejavm", "parent.txt"]


def test_what_a_branch_opens_as_the_recording_has_it_is_said(home: Home, parent: Path) -> None:
    machine = parent / "machine.toml"
    mine = next(line for line in machine.read_text().splitlines() if line.startswith("backend") and "script" in line)
    machine.write_text(machine.read_text().replace(mine, f'backend = "file:{home.work}/theirs"'))
    end = Recording.open(parent).end_icount
    words = ("branch", f"{parent}@{stamp_of(parent, WORLD)}", "--serial", home.script(CHILD))
    own = home.run(*words, "-o", "own.dejavm")
    assert (own.exit_code, "note: opened" in own.stderr, (home.work / "theirs").exists()) == (0, False, False)
    kept = home.run("branch", f"{parent}@{end - 100}", "-o", "kept.dejavm")
    assert f"note: opened as the recording has it: serial0 file:{home.work}/theirs" in kept.stderr
    assert (home.work / "theirs").exists()


def test_code_that_only_the_recording_names_is_not_run(home: Home, parent: Path) -> None:
    machine = parent / "machine.toml"
    mine = next(line for line in machine.read_text().splitlines() if line.startswith("backend") and "script" in line)
    machine.write_text(machine.read_text().replace(mine, 'backend = "module:os:execl,/bin/true"'))
    place = f"{parent}@{stamp_of(parent, WORLD)}"
    assert branch(home, place).exit_code == 0, "an option names another backend"
    refused = home.run("branch", place, "-o", "other.dejavm")
    assert (refused.exit_code, "module:os:execl" in refused.complaint) == (EXIT_USAGE, True)
    assert not (home.work / "other.dejavm").exists()


def test_before_its_beginning_a_branch_names_its_parent(home: Home, parent: Path) -> None:
    place = stamp_of(parent, WORLD)
    child = branched(home, f"{parent}@{place}")
    for words in (("branch", f"{child}@{place - 1}"), ("replay", child, "--until", str(place - 1))):
        done = home.run(*words)
        assert done.exit_code == EXIT_USAGE
        assert f"from {place} to" in done.complaint
        assert str(parent) in done.complaint
    store = SnapshotStore(child, Recording.open(child).facts.id)
    (base,) = store.list()
    done = home.run("snapshots", child, "--delete", str(base.number))
    assert (done.exit_code, "begins with" in done.complaint) == (EXIT_USAGE, True)


def test_a_parent_that_is_damaged_before_the_place_is_refused(home: Home, parent: Path) -> None:
    spoil(parent, 200)
    done = branch(home, f"{parent}@{124_000}")
    assert done.exit_code == EXIT_UNREADABLE
    assert "log.mcap" in done.complaint
    assert not (home.work / "child.dejavm").exists()
