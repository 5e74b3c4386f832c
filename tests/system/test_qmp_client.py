"""`qemu.qmp`, QEMU's own client library, says every command there is, while the guest is recorded and replayed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from qemu.qmp import ExecuteError, QMPClient

from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import final_digest
from tests.harness.monitor import run_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

KEY = {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}}
RING = {"type": "ringbuf", "data": {}}
NULL = {"type": "null", "data": {}}
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

    async def refused(self, command: str, **arguments: object) -> str:
        """Why a command is refused."""
        with pytest.raises(ExecuteError) as told:
            await self.say(command, **arguments)
        return str(told.value)


@asynccontextmanager
async def talking(home: Home) -> AsyncIterator[Talk]:
    client = QMPClient("test")
    await client.connect(str(run_directory(home) / "qmp"))
    talk = Talk(client)
    with client.listener() as listener:
        yield talk
        await talk.say("quit")
        async for event in listener:
            talk.events.append(str(event["event"]))
            if talk.events[-1] == "SHUTDOWN":
                break
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
        await talk.say("chardev-change", id="serial0", backend=NULL)
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
    running = home.start("replay", path, "--devices", "live", "-S")
    events = asyncio.run(replay(home, end))
    assert events.count("REPLAY_SEEK") >= 3
    assert running.finish().exit_code == 0
    assert final_digest(path) == digest
