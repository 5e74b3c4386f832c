"""The monitor of a real machine: it holds, ends and describes the run, and no word of it is recorded."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import pytest
from qemu.qmp import ExecuteError, QMPClient

from machine.message import HostEvent
from machine.recording.reader import Recording
from tests.harness.guests import guest
from tests.harness.machine import console, final_digest
from tests.harness.monitor import Lines, Qmp, Refused, connect, host_inputs, run_directory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home, Running

pytestmark = pytest.mark.system

EXIT_USAGE: Final = 2
ENOUGH: Final = 40
"""Requests between two looks that the guest stands still: many times the way to it."""
HELD_S: Final = 1.0
END: Final = b"\x04"


def _start(home: Home, command: str, name: str, *args: str | Path) -> Running:
    return home.start(command, "bare", "--kernel", guest(name), "--serial", "null", *args)


def _ended(running: Running) -> None:
    done = running.finish()
    assert done.exit_code == 0, done.stderr


def _hold(client: Qmp) -> int:
    """Have the guest stand still; where it stands, which does not change."""
    client.execute("stop")
    places = {client.execute("query-replay")["icount"] for _ in range(ENOUGH)}
    assert client.execute("query-status")["status"] == "paused"
    assert len(places) == 1
    return int(places.pop())


def test_qemus_own_client_speaks_with_it(home: Home) -> None:
    running = _start(home, "record", "nap", "-o", home.work / "a.dejavm")

    async def talk() -> list[str]:
        client = QMPClient("test")
        heard: list[str] = []
        await client.connect(str(run_directory(home) / "qmp"))
        with client.listener(("STOP", "RESUME", "SHUTDOWN")) as listener:
            assert client.greeting is not None
            assert await client.execute("query-name") == {"name": "bare"}
            with pytest.raises(ExecuteError, match="The command frob has not been found"):
                await client.execute("frob")
            await client.execute("stop")
            assert (await client.execute("query-status"))["status"] == "paused"  # type: ignore[index]
            await client.execute("cont")
            line = {"command-line": "info status"}
            assert await client.execute("human-monitor-command", line) == "VM status: running\r\n"
            await client.execute("quit")
            async for event in listener:
                heard.append(str(event["event"]))
                if heard[-1] == "SHUTDOWN":
                    break
        # The machine may have hung up first, which the library tells its user.
        with suppress(EOFError):
            await client.disconnect()
        return heard

    assert asyncio.run(talk()) == ["STOP", "RESUME", "SHUTDOWN"]
    _ended(running)
    home.verify_both_ways(home.work / "a.dejavm")


def test_nothing_that_is_said_to_it_is_recorded(home: Home) -> None:
    plain = home.record("bare", "--kernel", guest("chatter"), "--serial", "null", "--sleep", "off", name="plain")
    path = home.work / "talked.dejavm"
    running = _start(home, "record", "chatter", "--sleep", "off", "-o", path)
    rounds = 0
    with Qmp(home) as client, Lines(home) as lines, suppress(Refused, AssertionError, ConnectionError):
        client.execute("stop")
        while client.execute("query-status")["status"] in ("running", "paused"):
            client.execute("cont")
            lines.line("info qtree")
            client.execute("query-commands")
            lines.line("stop")
            client.execute("stop")
            rounds += 1
            if rounds >= 300:
                client.execute("cont")
                break
    _ended(running)
    assert rounds > 5
    assert final_digest(path) == final_digest(plain)
    assert list(Recording.open(path).frames()) == list(Recording.open(plain).frames())
    home.verify_both_ways(path)


@pytest.mark.parametrize("mode", ["run", "record", "log", "live"])
def test_the_guest_is_held_and_let_go_in_every_mode(home: Home, mode: str) -> None:
    recording = home.record("bare", "--kernel", guest("chatter"), "--serial", "null", name="a")
    if mode in ("run", "record"):
        running = _start(home, mode, "chatter", *(("-o", home.work / "b.dejavm") if mode == "record" else ()))
    else:
        running = home.start("replay", recording, "--devices", mode)
    with Qmp(home) as client:
        places = []
        for _ in range(3):
            places.append(_hold(client))
            client.execute("cont")
            client.execute("query-status")
        assert client.await_event("SHUTDOWN")["data"]["reason"] == "guest-shutdown"
        assert [event["event"] for event in client.events[:4]] == ["STOP", "RESUME", "STOP", "RESUME"]
    assert places == sorted(places)
    _ended(running)
    if mode == "record":
        assert final_digest(home.work / "b.dejavm") == final_digest(recording)


def test_a_sleeping_guest_that_is_held_does_not_sleep(home: Home) -> None:
    path = home.work / "a.dejavm"
    started = time.monotonic()
    running = _start(home, "record", "nap", "-o", path)
    with Qmp(home) as client:
        _hold(client)
        stood = time.monotonic()
        select.select([], [], [], HELD_S)
        held_s = time.monotonic() - stood
        client.execute("cont")
        _ended(running)
    wall_s = time.monotonic() - started
    info = home.run("info", path, "--json").json
    assert info["idle_ns"] >= 2.9e9
    assert info["idle_ns"] / 1e9 < wall_s - held_s
    home.verify_both_ways(path)


def test_a_held_guest_is_ended_by_quit_and_by_a_signal(home: Home) -> None:
    for number in (1, 2):
        path = home.work / f"{number}.dejavm"
        running = _start(home, "record", "chatter", "-o", path)
        with Qmp(home) as client:
            _hold(client)
            if number == 1:
                client.execute("quit")
            else:
                os.kill(running.process.pid, 15)
            reason = client.await_event("SHUTDOWN")["data"]["reason"]
            assert reason == ("host-qmp-quit" if number == 1 else "host-signal")
        _ended(running)
        home.verify_both_ways(path)


def test_the_line_mode_holds_ends_and_describes_the_run(home: Home) -> None:
    path = home.work / "a.dejavm"
    running = _start(home, "record", "nap", "-o", path)
    with Lines(home) as lines:
        assert lines.greeting == "dejavm 0.1.0 monitor - type 'help' for more information\n"
        assert lines.line("stop") == ""
        assert lines.line("info status") == "VM status: paused\n"
        assert lines.line("info replay").startswith(f"Recording execution '{path}': instruction count = ")
        assert 'id "serial0"' in lines.line("info qtree")
        assert lines.line("info chardev") == "serial0: filename=null\n"
        assert lines.line("sendkey a") == "Error: VM not running\n"
        assert lines.line("cont") == ""
        assert lines.line("sendkey a") == "Error: this machine has no kbd for a key; give it one: --input kbd\n"
        lines.line("quit")
    _ended(running)
    home.verify_both_ways(path)


def test_it_listens_where_it_is_told_too(home: Home) -> None:
    path = home.path / "mon"
    running = _start(home, "run", "nap", "--monitor", f"unix:{path},server=on,wait=off", "--qmp", "tcp:127.0.0.1:0")
    with Lines(home, path) as lines:
        assert lines.line("info name") == "bare\n"
        lines.line("quit")
    done = running.finish()
    assert done.exit_code == 0, done.stderr
    assert "--qmp: listening on tcp:127.0.0.1:" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("option", "word", "told"),
    [
        ("--qmp", "tcp:0.0.0.0:1", "whoever reaches 0.0.0.0 would own the machine"),
        ("--monitor", "unix:/none/x", "cannot listen: No such file or directory"),
        ("--monitor", "stdio", "write unix:PATH or tcp:HOST:PORT"),
    ],
)
def test_a_place_where_it_cannot_listen_ends_the_run_by_name(home: Home, option: str, word: str, told: str) -> None:
    path = home.work / "a.dejavm"
    done = _start(home, "record", "nap", option, word, "-o", path).finish()
    assert done.exit_code == EXIT_USAGE
    assert told in done.complaint
    assert f"{option} {word}" in done.complaint
    assert not path.exists()


def test_another_backend_takes_over_while_the_guest_runs_and_the_recording_holds_what_the_guest_saw(
    home: Home,
) -> None:
    first, second, recording = home.path / "1", home.path / "2", home.work / "a.dejavm"
    machine = ("record", "bare", "--kernel", guest("echo"), "-o", recording)
    running = home.start(*machine, "--serial", f"unix:{first},server=on")
    with closing(connect(first)) as peer, Qmp(home) as client:
        assert _until(peer, b"READY\n")
        peer.sendall(b"one\n")
        assert _until(peer, b"ONE\n")
        with pytest.raises(Refused, match="/none/x"):
            client.execute("chardev-change", id="serial0", backend="file:/none/x")
        peer.sendall(b"two\n")
        assert _until(peer, b"TWO\n")
        address = {"type": "unix", "data": {"path": str(second)}}
        backend = {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}
        client.execute("chardev-change", id="serial0", backend=backend)
        assert peer.recv(100) == b""
        with closing(connect(second)) as other:
            other.sendall(b"three\n")
            assert _until(other, b"THREE\n")
            assert client.execute("query-chardev")[0]["filename"] == f"unix:{second},server=on,wait=off"
            other.sendall(END)
            assert _until(other, b"PASS\n")
    _ended(running)
    assert console(recording).startswith(b"READY\nONE\nTWO\nTHREE\n")
    assert HostEvent.CLOSED in [message.event for _, message in host_inputs(recording)]
    home.verify_both_ways(recording)


def test_a_replay_with_devices_is_shown_on_another_backend_half_way(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("chatter"), "--serial", "null")
    rest = home.work / "rest"
    running = home.start("replay", recording, "--serial", "null")
    with Qmp(home) as client:
        _hold(client)
        client.execute("chardev-change", id="serial0", backend=f"file:{rest}")
        with pytest.raises(Refused, match="input-send-event: this is a replay"):
            client.execute("input-send-event", events=[])
        client.execute("cont")
        _ended(running)
    said = rest.read_bytes()
    assert said.endswith(b"PASS\n")
    assert console(recording).endswith(said)


def test_a_ring_buffer_is_read_while_the_guest_runs(home: Home) -> None:
    running = home.start("run", "bare", "--kernel", guest("nap"), "--serial", "ringbuf:size=4096")
    said = ""
    with Qmp(home) as client:
        while "asleep\n" not in said:
            said += client.execute("ringbuf-read", device="serial0", size=1000)
        client.execute("quit")
    _ended(running)


FLOODS: Final = {
    "noise": os.urandom(1 << 12) * 256,
    "no end": b'{"execute": "' + b"x" * (1 << 20),
    "requests": b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-commands"}\n' * 40_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_from_many_clients_neither_stop_the_machine_nor_change_it(home: Home, name: str) -> None:
    plain = home.record("bare", "--kernel", guest("chatter"), "--serial", "null", "--sleep", "off", name="plain")
    path = home.work / "flooded.dejavm"
    running = _start(home, "record", "chatter", "--sleep", "off", "-o", path)
    directory = run_directory(home)
    peers: dict[socket.socket, int] = {}
    for number in range(40):
        with suppress(OSError):
            peer = connect(directory / ("qmp" if number % 2 else "monitor"))
            peer.setblocking(False)
            peers[peer] = 0
    assert len(peers) > 20
    while running.process.poll() is None:
        _, writable, _ = select.select([], list(peers), [], 0.05)
        for peer in writable:
            try:
                peers[peer] += peer.send(FLOODS[name][peers[peer] % (1 << 19) :][: 1 << 16])
            except BlockingIOError:
                continue
            except OSError:
                del peers[peer]
                peer.close()
    _ended(running)
    for peer in peers:
        peer.close()
    assert final_digest(path) == final_digest(plain)


def _until(peer: socket.socket, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        data = peer.recv(65536)
        assert data, said[-200:]
        said += data
    return said
