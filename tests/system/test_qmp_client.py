"""`qemu.qmp`, QEMU's own client library, says every command there is, while the guest is recorded and replayed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from qemu.qmp import ExecuteError, QMPClient

from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import final_digest
from tests.harness.monitor import connect, run_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

KEY = {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}}
RING = {"type": "ringbuf", "data": {}}
NULL = {"type": "null", "data": {}}
ANSWERS: dict[str, object] = {
    "query-status": {"running": bool, "status": str},
    "query-chardev": [{"label": str, "filename": str, "frontend-open": bool}],
    "query-name": {"name": str},
    "query-version": {"qemu": {"major": int, "minor": int, "micro": int}, "package": str},
    "query-commands": [{"name": str}],
    "query-target": {"arch": str},
    "query-kvm": {"enabled": bool, "present": bool},
}
"""What QEMU's QAPI schema says that each of them answers."""
REPLAY_INFO = {"mode": str, "filename": str, "icount": int}
SNAPSHOT_INFO = {
    "id": str, "name": str, "vm-state-size": int, "date-sec": int, "date-nsec": int, "vm-clock-sec": int,
    "vm-clock-nsec": int, "icount": int,
}  # fmt: skip
"""QAPI's ReplayInfo and SnapshotInfo; ours say more."""
GUEST_VISIBLE = ("system_reset", "system_powerdown", "input-send-event")
ONLY_IN_REPLAYS = ("replay-seek", "replay-break", "replay-delete-break", "snapshot-load")


class Talk:
    """One client, what it says, and what has happened meanwhile."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self.events: list[str] = []

    async def say(self, command: str, **arguments: object) -> Any:
        """A command's value; an underscore in an argument's name stands for a minus."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        return await self._client.execute(command, given)

    async def chardevs(self) -> dict[str, str]:
        """The backend of each character device."""
        return {row["label"]: row["filename"] for row in await self.say("query-chardev")}

    async def has_qemus_shapes(self) -> None:
        """What queries answer is what QEMU's clients take apart."""
        for command, shape in ANSWERS.items():
            assert shape_of(await self.say(command)) == shape, command
        assert REPLAY_INFO.items() <= shape_of(await self.say("query-replay")).items()
        for row in await self.say("snapshot-list"):
            assert SNAPSHOT_INFO.items() <= shape_of(row).items()

    async def refused(self, command: str, **arguments: object) -> str:
        """Why a command is refused."""
        with pytest.raises(ExecuteError) as told:
            await self.say(command, **arguments)
        return str(told.value)


def shape_of(value: Any) -> Any:
    """The types in a JSON value; a list's is that of its elements, which are alike."""
    if isinstance(value, dict):
        return {name: shape_of(inner) for name, inner in value.items()}
    if isinstance(value, list):
        assert all(shape_of(inner) == shape_of(value[0]) for inner in value)
        return [shape_of(inner) for inner in value[:1]]
    return type(value)


@asynccontextmanager
async def talking(home: Home, path: Path | None = None) -> AsyncIterator[Talk]:
    client = QMPClient("test")
    if path is not None:
        connect(path).close()  # somebody listens there now
    await client.connect(str(path or run_directory(home) / "qmp"))
    talk = Talk(client)
    with client.listener() as listener:
        yield talk
        await talk.say("quit")
        async for event in listener:
            talk.events.append(str(event["event"]))
            if talk.events[-1] == "SHUTDOWN":
                break
    # The machine may have hung up first, which the library tells its user.
    with suppress(EOFError):
        await client.disconnect()


async def record(home: Home) -> list[str]:
    async with talking(home) as talk:
        # What needs the machine waits for its start.
        await talk.say("cont")
        assert (await talk.say("query-replay"))["mode"] == "record"
        assert (await talk.say("query-status"))["running"]
        assert "serial0" in [row["label"] for row in await talk.say("query-chardev")]
        await talk.say("snapshot-save", job_id="j", tag="one", vmstate="v", devices=[])
        await talk.say("stop")
        await talk.say("snapshot-save", job_id="j", tag="two", vmstate="v", devices=[])
        assert (await talk.say("query-status"))["status"] == "paused"
        await talk.say("cont")
        assert [row["name"] for row in await talk.say("snapshot-list")] == ["one", "two"]
        await talk.has_qemus_shapes()
        await talk.say("snapshot-delete", job_id="j", tag="one", devices=[])
        await talk.say("input-send-event", events=[KEY])
        await talk.say("system_powerdown")
        await talk.say("chardev-change", id="serial0", backend=RING)
        assert "ringbuf" in (await talk.say("query-chardev"))[0]["filename"]
        await talk.say("system_reset")
        for command in ONLY_IN_REPLAYS:
            arguments: dict[str, object] = {"tag": "two"} if command == "snapshot-load" else {"icount": 1}
            if command == "replay-delete-break":
                arguments = {}
            assert command in await talk.refused(command, **arguments)
        # The reset is a part of the run before the next state is.
        await talk.say("snapshot-save", job_id="j", tag="behind", vmstate="v", devices=[])
    return talk.events


async def replay(home: Home, end: int) -> list[str]:
    async with talking(home) as talk:
        await talk.say("stop")
        assert (await talk.say("query-replay"))["mode"] == "play"
        await talk.say("replay-seek", icount=100)
        for place in (end // 2, end // 4):
            await talk.say("replay-break", icount=place)
        await talk.say("replay-delete-break", icount=end // 2)
        assert (await talk.say("query-replay"))["breakpoints"] == [end // 4]
        await talk.say("replay-delete-break")
        await talk.say("snapshot-save", job_id="j", tag="here", vmstate="v", devices=[])
        await talk.say("replay-seek", icount=end // 2)
        await talk.say("snapshot-load", job_id="j", tag="here", vmstate="v", devices=[])
        assert (await talk.say("query-replay"))["icount"] == 100
        assert "here" in [row["name"] for row in await talk.say("snapshot-list")]
        await talk.say("snapshot-delete", job_id="j", tag="here", devices=[])
        await talk.has_qemus_shapes()
        # The frontend is the recording's, the backend the replay's.
        assert await talk.chardevs() == {"serial0": "ringbuf:size=4096"}
        await talk.say("chardev-change", id="serial0", backend=NULL)
        assert await talk.chardevs() == {"serial0": "null"}
        for command in GUEST_VISIBLE:
            arguments = {"events": [KEY]} if command == "input-send-event" else {}
            assert "this is a replay" in await talk.refused(command, **arguments)
        assert "outside the recording, which goes from 0" in await talk.refused("replay-seek", icount=end + 1)
    return talk.events


def test_every_command_in_a_recording_and_in_its_replay(home: Home) -> None:
    path: Path = home.work / "a.dejavm"
    running = home.start(
        "record", "bare", "--kernel", guest("restart"), "--serial", "null", "--input", "kbd", "-o", path
    )
    events = asyncio.run(record(home))
    assert [name for name in events if name in ("STOP", "RESUME", "POWERDOWN", "RESET", "SHUTDOWN")] == [
        "STOP", "RESUME", "POWERDOWN", "RESET", "SHUTDOWN",
    ]  # fmt: skip
    assert running.finish().exit_code == 0
    home.verify_both_ways(path)
    digest, end = final_digest(path), Recording.open(path).end_icount
    running = home.start("replay", path, "--devices", "live", "--serial", "ringbuf:size=4096", "-S")
    events = asyncio.run(replay(home, end))
    assert events.count("REPLAY_SEEK") >= 3
    assert running.finish().exit_code == 0
    assert final_digest(path) == digest


async def watch(home: Home) -> None:
    async with talking(home) as talk:
        await talk.say("stop")
        await talk.has_qemus_shapes()
        # Without devices there is nobody whose backend it could be.
        assert await talk.chardevs() == {"serial0": "null"}
        assert "--devices live" in await talk.refused("chardev-change", id="serial0", backend=RING)


async def branch(home: Home, qmp: Path) -> None:
    async with talking(home, qmp) as talk:
        await talk.say("stop")
        assert (await talk.say("query-replay"))["mode"] == "record"
        await talk.has_qemus_shapes()
        assert await talk.chardevs() == {"serial0": "ringbuf:size=8192"}
        await talk.say("chardev-change", id="serial0", backend=NULL)
        await talk.say("snapshot-save", tag="in the branch")
        assert [row["name"] for row in await talk.say("snapshot-list")] == ["base", "in the branch"]
        await talk.say("cont")
        await talk.say("system_reset")


async def run(home: Home) -> None:
    async with talking(home) as talk:
        await talk.say("cont")
        for command, shape in ANSWERS.items():
            assert shape_of(await talk.say(command)) == shape, command
        assert shape_of(await talk.say("query-replay")) == {"mode": str, "icount": int}
        await talk.say("input-send-event", events=[KEY])
        assert "no recording" in await talk.refused("snapshot-save", tag="x")


def test_what_is_asked_in_a_run_a_replay_without_devices_and_a_branch_is_answered_as_qemu_would(home: Home) -> None:
    machine = ("bare", "--kernel", guest("nap"), "--serial", "null", "--input", "kbd", "--sleep", "off")
    running = home.start("run", *machine, "--sleep", "on")
    asyncio.run(run(home))
    assert running.finish().exit_code == 0
    path = home.record(*machine, name="parent")
    running = home.start("replay", path, "--devices", "log", "-S")
    asyncio.run(watch(home))
    assert running.finish().exit_code == 0
    child = home.work / "child.dejavm"
    serial = ("--serial", "ringbuf:size=8192")
    place = f"{path}@{Recording.open(path).end_icount // 2}"
    qmp = home.path / "qmp"
    running = home.start("branch", place, "-o", child, *serial, "--sleep", "on", "--qmp", f"unix:{qmp}")
    asyncio.run(branch(home, qmp))
    assert running.finish().exit_code == 0
    home.verify_both_ways(child)
