"""A state is kept whenever somebody asks for it: nothing has to be quiet, nothing has to be said again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest

from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import final_digest
from tests.harness.monitor import Lines, Qmp
from tests.system.test_travel import ends_as_recorded, icount, record, replay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TIMES: Final = 3


def start(home: Home, name: str, path: Path) -> Running:
    """A recording that is under way."""
    return home.start("record", "bare", "--serial", "null", "--kernel", guest(name), "-o", path)


def places(client: Qmp) -> dict[str, int]:
    """Where each name leads to."""
    return {row["name"]: row["icount"] for row in client.execute("snapshot-list") if row["name"]}


def each_goes_on_as_recorded(home: Home, path: Path, names: list[str]) -> None:
    """A replay that goes to each of these states is at the recording's end what the recording was."""
    running = replay(home, path, "live")
    with Qmp(home) as client:
        client.execute("stop")
        for name in names:
            client.execute("snapshot-load", tag=name)
        ends_as_recorded(client, running, path)


def test_a_guest_that_is_held_just_then_is_held_behind_its_state(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = start(home, "compute", path)  # which is not over soon
    names = [f"state {n}" for n in range(TIMES)]
    with Qmp(home) as one, Qmp(home) as other:
        other.execute("stop")
        for name in names:
            other.execute("cont")
            one.send("snapshot-save", tag=name)
            other.execute("stop")
            assert one.answer()["number"] > 0
            assert other.execute("query-status")["status"] == "paused"
        assert list(places(one)) == names
        other.execute("quit")
    assert running.finish().exit_code == 0
    each_goes_on_as_recorded(home, path, names[:2])


@pytest.mark.parametrize("devices", ["log", "live"])
def test_a_replay_that_is_held_just_then_stands_where_it_was_held(home: Home, devices: str) -> None:
    path = record(home, "chatter")
    running = replay(home, path, devices)
    with Qmp(home) as one, Qmp(home) as other:
        other.execute("stop")
        # However slow this test is, the replay is not over before it is.
        other.execute("replay-break", icount=Recording.open(path).end_icount - 1)
        for n in range(TIMES):
            other.execute("replay-seek", icount=n)
            other.execute("cont")
            one.send("snapshot-save", tag=f"state {n}")
            other.execute("stop")
            held = icount(other)
            assert other.execute("query-status")["status"] == "paused"
            assert one.answer()["number"] > 0
            assert icount(other) == held
        assert len(places(one)) == TIMES
        ends_as_recorded(other, running, path)


@pytest.mark.parametrize("devices", ["log", "live"])
def test_a_state_is_kept_at_both_ends_and_at_one_that_is_kept_already(home: Home, devices: str) -> None:
    path = record(home, "doze")
    end = Recording.open(path).end_icount
    running = replay(home, path, devices)
    with Qmp(home) as client:
        client.execute("stop")
        wanted = {"first": 0, "second": 1, "middle": end // 2, "last but one": end - 1, "last": end}
        client.execute("replay-seek", icount=end // 3)
        client.execute("snapshot-save", tag="third")
        wanted["a state's own"] = next(r["icount"] for r in client.execute("snapshot-list") if not r["name"])
        for name, place in wanted.items():
            client.execute("replay-seek", icount=place)
            client.execute("snapshot-save", tag=name)
            assert icount(client) == place
        assert places(client) == {**wanted, "third": end // 3}
        for name, place in reversed(wanted.items()):
            client.execute("snapshot-load", tag=name)
            assert icount(client) == place
        ends_as_recorded(client, running, path)


def test_a_state_that_is_asked_for_on_the_way_is_kept_where_the_way_ends(home: Home) -> None:
    path = home.record("bare", "--serial", "null", "--kernel", guest("chatter"))
    end = Recording.open(path).end_icount
    running = replay(home, path, "live")
    with Qmp(home) as one, Qmp(home) as other:
        one.execute("stop")
        one.execute("replay-seek", icount=0)
        one.send("replay-seek", icount=end // 2)
        while other.execute("query-replay").get("goal") != end // 2 and icount(other) == 0:
            pass
        other.execute("snapshot-save", tag="there")
        one.answer()
        assert places(one) == {"there": end // 2}
        # Who lets it go while a state is kept has it go on behind that.
        one.execute("replay-break", icount=end - 1)
        one.send("snapshot-save", tag="again")
        other.execute("cont")
        one.answer()
        assert one.await_event("REPLAY_BREAK")["data"] == {"icount": end - 1}
        ends_as_recorded(other, running, path)


def test_a_guest_that_sleeps_a_dead_device_and_a_dead_cpu_do_not_matter(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = start(home, "nap", path)
    names = ["asleep", "held asleep", "device", "cpu"]
    with Qmp(home) as client, Lines(home) as lines:
        client.execute("query-status")
        client.execute("snapshot-save", tag="asleep")
        client.execute("stop")
        client.execute("snapshot-save", tag="held asleep")
        for name, node in (("device", "serial0"), ("cpu", "cpu")):
            os.kill(home.pid_of(node), signal.SIGKILL)
            client.execute("snapshot-save", tag=name)
            assert client.execute("query-status")["status"] == "paused"
        assert list(places(client)) == names
        assert " 0000:00:0" in lines.line("info snapshots")
        client.execute("quit")
    assert running.finish().exit_code == 0
    before = final_digest(path)
    each_goes_on_as_recorded(home, path, names)
    assert final_digest(path) == before
    # None says that it is in front of the sleep and is not, not even that of the CPU which was put into another.
    end = str(Recording.open(path).end_icount)
    sought, come_to = (home.run("replay", path, word, end, "--json").json for word in ("--seek", "--until"))
    assert sought == come_to


def test_a_held_guest_whose_cpu_dies_is_held_and_keeps_its_state(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = start(home, "chatter", path)
    with Qmp(home) as client:
        client.execute("stop")
        os.kill(home.pid_of("cpu"), signal.SIGKILL)
        client.await_event("DEJAVM_NODE_BACK")
        assert client.execute("query-status")["status"] == "paused"
        client.execute("snapshot-save", tag="held")
        assert [event["event"] for event in client.events if event["event"] in ("STOP", "RESUME")] == ["STOP"]
        client.execute("cont")
    assert running.finish().exit_code == 0
    each_goes_on_as_recorded(home, path, ["held"])
