"""A replay goes to any of its places, forward and back, and is the same replay wherever it comes from."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from machine.recording.snapshots.snapshot import NS_PER_S
from machine.recording.summary import idle_ns_of
from tests.harness.guests import guest
from tests.harness.machine import final_digest
from tests.harness.monitor import Lines, Qmp, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SEEKS = {"log": 1000, "live": 60}
SAVES = 50


def record(home: Home, name: str) -> Path:
    """A recording of a guest, and its states here and there."""
    recording = home.record("bare", "--serial", "null", "--kernel", guest(name), "--sleep", "off")
    end = Recording.open(recording).end_icount
    made = home.run("snapshots", recording, "--make", str(max(10_000, end // 12)))
    assert made.exit_code == 0, made.stderr
    return recording


def replay(home: Home, recording: Path, devices: str) -> Running:
    """A replay that stands in front of everything, to be talked to."""
    return home.start("replay", recording, "--devices", devices, "--json", "-S")


def virtual_times(recording: Path, places: Iterable[int]) -> dict[int, int]:
    """The virtual time at each place, with nothing done that happens there, as the log has it."""
    opened = Recording.open(recording)
    idle = [(frame.icount, idle_ns_of(frame)) for frame in opened.frames()]
    return {at: opened.clock().at(at) + sum(ns for icount, ns in idle if icount < at) for at in places}


def icount(client: Qmp) -> int:
    """Where the replay is."""
    return int(client.execute("query-replay")["icount"])


def ends_as_recorded(client: Qmp, running: Running, recording: Path) -> None:
    """From here to the end every message is as it was."""
    client.execute("replay-delete-break")
    client.execute("cont")
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert done.json["digest"] == final_digest(recording)


@pytest.mark.parametrize("devices", ["log", "live"])
def test_random_seeks_end_exactly_there_and_disturb_nothing(home: Home, devices: str) -> None:
    recording = record(home, "doze")
    opened = Recording.open(recording)
    messages = sorted({frame.icount for frame in opened.frames()})
    draw = random.Random(11)
    running = replay(home, recording, devices)
    with Qmp(home) as client:
        client.execute("stop")
        for n in range(SEEKS[devices]):
            near = draw.choice(messages) + draw.randrange(-1, 2)
            goal = near if n % 2 else draw.randrange(opened.end_icount + 1)
            goal = min(max(goal, 0), opened.end_icount)
            client.execute("replay-seek", icount=goal)
            assert icount(client) == goal
        client.execute("replay-seek", icount=draw.randrange(opened.end_icount))
        ends_as_recorded(client, running, recording)


def test_states_kept_at_random_places_are_gone_to_in_random_order_and_each_goes_on_as_recorded(home: Home) -> None:
    recording = record(home, "doze")
    end = Recording.open(recording).end_icount
    draw = random.Random(5)
    places = {f"place {n}": draw.randrange(1, end) for n in range(SAVES)}
    running = replay(home, recording, "log")
    with Qmp(home) as client:
        client.execute("stop")
        for tag, place in places.items():
            client.execute("replay-seek", icount=place)
            client.execute("snapshot-save", tag=tag)
            assert icount(client) == place
        # Where a state is kept from is nobody's place.
        assert [e["data"]["icount"] for e in client.events if e["event"] == "REPLAY_SEEK"] == list(places.values())
        rows = [row for row in client.execute("snapshot-list") if row["name"]]
        assert {row["name"]: row["icount"] for row in rows} == places
        clocks = {row["icount"]: row["vm-clock-sec"] * NS_PER_S + row["vm-clock-nsec"] for row in rows}
        assert clocks == virtual_times(recording, clocks)
        for tag in draw.sample(list(places), SAVES):
            client.execute("snapshot-load", tag=tag)
            assert icount(client) == places[tag]
            # On from there to the end: each message and each digest is compared.
            client.execute("replay-seek", icount=end)
            assert icount(client) == end
        ends_as_recorded(client, running, recording)
    for tag in draw.sample(list(places), 3):
        running = replay(home, recording, "log")
        with Qmp(home) as client:
            client.execute("stop")
            client.execute("snapshot-load", tag=tag)
            ends_as_recorded(client, running, recording)


def test_two_replays_of_one_recording_keep_states_in_it_at_once(home: Home) -> None:
    recording = record(home, "doze")
    end = Recording.open(recording).end_icount
    qmps = [home.work / f"qmp{n}" for n in range(2)]
    runs = [home.start("replay", recording, "-S", "--json", "--qmp", f"unix:{qmp}") for qmp in qmps]
    with Qmp(home, qmps[0]) as one, Qmp(home, qmps[1]) as other:
        for client in (one, other):
            client.execute("stop")
        for n in range(1, 4):
            for client, tag in ((one, f"one {n}"), (other, f"other {n}")):
                client.execute("replay-seek", icount=end * n // 5)
                client.send("snapshot-save", tag=tag)
            numbers = [client.answer()["number"] for client in (one, other)]
            assert numbers[0] != numbers[1]
        names = {row["name"]: row["icount"] for row in one.execute("snapshot-list") if row["name"]}
        assert names == {f"{who} {n}": end * n // 5 for who in ("one", "other") for n in range(1, 4)}
        for client, tags in ((one, "other"), (other, "one")):
            client.execute("snapshot-load", tag=f"{tags} 2")
            assert icount(client) == end * 2 // 5
        for client, running in zip((one, other), runs, strict=True):
            ends_as_recorded(client, running, recording)


def test_breakpoints_stop_a_replay_each_time_it_comes_there(home: Home) -> None:
    recording = record(home, "chatter")
    end = Recording.open(recording).end_icount
    running = replay(home, recording, "log")
    with Qmp(home) as client:
        client.execute("stop")
        client.execute("replay-seek", icount=0)
        for place in (end // 2, end // 4, 5):
            client.execute("replay-break", icount=place)
        assert client.execute("query-replay")["breakpoints"] == [5, end // 4, end // 2]
        for place in (5, end // 4, end // 2):
            client.events.clear()
            client.execute("cont")
            assert client.await_event("REPLAY_BREAK")["data"] == {"icount": place}
            assert icount(client) == place
        client.execute("replay-delete-break", icount=end // 4)
        with pytest.raises(Refused, match="no breakpoint at instruction"):
            client.execute("replay-delete-break", icount=end // 4)
        client.execute("replay-seek", icount=7)
        client.events.clear()
        client.execute("cont")
        assert client.await_event("REPLAY_BREAK")["data"] == {"icount": end // 2}
        ends_as_recorded(client, running, recording)


def test_a_seek_under_way_is_interrupted_at_once(home: Home) -> None:
    recording = home.record("bare", "--serial", "null", "--kernel", guest("chatter"))
    end = Recording.open(recording).end_icount
    running = replay(home, recording, "live")
    with Qmp(home) as client, Lines(home) as lines:
        client.execute("stop")
        client.execute("replay-seek", icount=0)
        client.send("replay-seek", icount=end)
        assert lines.line("stop") == ""
        with pytest.raises(Refused, match="interrupted at instruction"):
            client.answer()
        assert 0 <= icount(client) < end
        with pytest.raises(Refused, match=f"outside the recording, which goes from 0 to {end}"):
            client.execute("replay-seek", icount=end + 1)
        ends_as_recorded(client, running, recording)


def test_the_line_mode_has_qemus_words_for_it(home: Home) -> None:
    recording = record(home, "doze")
    end = Recording.open(recording).end_icount
    running = replay(home, recording, "log")
    with Lines(home) as lines, Qmp(home) as client:
        lines.line("stop")
        assert lines.line(f"replay_seek {end // 2}") == ""
        assert f"instruction count = {end // 2}" in lines.line("info replay")
        assert lines.line("savevm middle") == ""
        assert "middle" in lines.line("info snapshots")
        assert lines.line("replay_break 10") == ""
        assert lines.line("replay_delete_break") == ""
        assert "outside the recording" in lines.line(f"replay_seek {end + 1}")
        assert lines.line("loadvm middle") == ""
        assert f"instruction count = {end // 2}" in lines.line("info replay")
        assert lines.line("delvm middle") == ""
        assert "no snapshot with the tag" in lines.line("loadvm middle")
        ends_as_recorded(client, running, recording)


def test_a_recording_keeps_states_on_request_and_goes_nowhere_else(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = home.start("record", "bare", "--serial", "null", "--kernel", guest("chatter"), "-o", path)
    with Qmp(home) as client:
        client.execute("snapshot-save", tag="running")
        client.execute("stop")
        client.execute("snapshot-save", tag="standing")
        assert client.execute("query-status")["status"] == "paused"
        for command, given in (("replay-seek", {"icount": 1}), ("snapshot-load", {"tag": "standing"})):
            with pytest.raises(Refused, match=r"no replay that may go|only goes forward"):
                client.execute(command, **given)
        client.execute("cont")
    assert running.finish().exit_code == 0
    home.verify_both_ways(path)
    for devices in ("log", "live"):
        running = replay(home, path, devices)
        with Qmp(home) as client:
            client.execute("stop")
            for tag in ("standing", "running"):
                client.execute("snapshot-load", tag=tag)
            ends_as_recorded(client, running, path)


def test_a_run_without_a_recording_keeps_nothing(home: Home) -> None:
    running = home.start("run", "bare", "--serial", "null", "--kernel", guest("nap"))
    with Qmp(home) as client:
        with pytest.raises(Refused, match="no recording to keep a snapshot in"):
            client.execute("snapshot-save", tag="x")
        client.execute("quit")
    running.finish()
