"""Rarer backends behind a real device's process: changed while it runs, and listening to a replay."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from devices.backends.char.telnet import TelnetCodec
from devices.serial import registers as r
from machine.icount import CPU
from machine.message import (
    Access,
    AccessKind,
    BackendChanged,
    BackendResult,
    ChangeBackend,
    Done,
    HostEvent,
    HostInput,
    HostOutput,
    MmioAccess,
    Reset,
    RunMode,
)
from machine.ringbuf import RingReader, ring_path
from tests.unit.devices.char_lines import PATIENCE_S, call
from tests.unit.devices.test_shell import Devices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.message import Message
    from tests.harness.fake_broker import FakeBroker

GREETING = bytes(TelnetCodec(server=True).replies)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Devices]:
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("DEJAVM_RUN_DIRECTORY", str(tmp_path / "run"))
    devices = Devices(tmp_path)
    yield devices
    for broker in devices.brokers:
        broker.close()


@pytest.fixture
def words(tmp_path: Path) -> Iterator[list[str]]:
    """A word for each backend that can be opened anywhere."""
    os.mkfifo(tmp_path / "p.in")
    os.mkfifo(tmp_path / "p.out")
    (tmp_path / "user.script").write_text("expect never\n")
    master, slave = os.openpty()
    yield [
        "null",
        "pty",
        f"file:{tmp_path}/file",
        "tcp:127.0.0.1:0,server=on,wait=off",
        f"unix:{tmp_path}/unix,server=on,wait=off",
        "telnet:127.0.0.1:0,server=on,wait=off",
        "udp:127.0.0.1:9",
        f"pipe:{tmp_path}/p",
        "ringbuf:size=100",
        os.ttyname(slave),
        "loop://",
        "mon:pty",
        "stdio",
        "mon:stdio",
        f"script:{tmp_path}/user.script",
    ]
    os.close(master)
    os.close(slave)


def text(data: bytes) -> MmioAccess:
    return MmioAccess((Access(AccessKind.WRITE, r.DATA, 1, data=data),))


def port_of(broker: FakeBroker) -> int:
    """The newest port the device says it listens on."""
    return int(re.findall(r":(\d+)\n", broker.errors.read_text())[-1])


def answers(broker: FakeBroker, message: Message, kind: type[Message], source: int = 0) -> list[Any]:
    """What is said until the answer has come; a loop brings input when it likes."""
    broker.send(message, 5, source)
    said: list[Any] = []
    while not said or not isinstance(said[-1], kind):
        said += [each for each in broker.receive() if getattr(each, "event", None) is not HostEvent.DATA]
    return said


def output(broker: FakeBroker, data: bytes, mode: RunMode) -> None:
    """Have the guest say something."""
    if mode is RunMode.REPLAY_LIVE:
        assert answers(broker, text(data), HostOutput, CPU) == [HostOutput(data)]
        assert answers(broker, BackendResult(len(data)), Done) == [Done()]
    else:
        assert answers(broker, text(data), Done, CPU) == [HostOutput(data), BackendResult(len(data)), Done()]


@pytest.mark.parametrize("mode", [RunMode.RECORD, RunMode.REPLAY_LIVE])
def test_every_backend_may_follow_every_other(device: Devices, words: list[str], mode: RunMode) -> None:
    broker = device("null")
    broker.start(mode)
    broker.ask(Reset())
    # The second round meets what the first has left behind: ports, files, terminals.
    for word in [*words, *reversed(words), words[0]]:
        said = answers(broker, ChangeBackend("dev0", word), BackendChanged)
        changed = said[-1]
        assert isinstance(changed, BackendChanged)
        assert not changed.error, word
        if mode is RunMode.RECORD:
            assert HostInput(HostEvent.CLOSED) in said or changed.stays
        output(broker, b"hello", mode)
    assert broker.stop() == 0


@pytest.mark.parametrize("mode", [RunMode.RECORD, RunMode.REPLAY_LIVE])
def test_the_ring_of_a_device_can_be_read_beside_it(device: Devices, tmp_path: Path, mode: RunMode) -> None:
    broker = device("ringbuf:size=8")
    broker.start(mode)
    broker.ask(Reset())
    output(broker, b"hello world", mode)
    reader = RingReader(ring_path(tmp_path / "run", "dev0"))
    assert reader.read(99) == b"lo world"
    output(broker, b"again", mode)
    assert reader.read(99) == b"again"
    reader.close()
    assert broker.stop() == 0
    assert list((tmp_path / "run").iterdir()) == []


def test_at_replay_a_telnet_peer_listens_and_is_refused(device: Devices) -> None:
    broker = device("telnet:127.0.0.1:0,server=on,wait=off")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    with call(port_of(broker)) as peer:
        peer.settimeout(PATIENCE_S)
        assert peer.recv(len(GREETING), socket.MSG_WAITALL) == GREETING
        peer.sendall(b"typed" + bytes((255, 243)))
        output(broker, b"hel\xfflo", RunMode.REPLAY_LIVE)
        assert peer.recv(7, socket.MSG_WAITALL) == b"hel\xff\xfflo"
        while "input is ignored: this is a replay" not in broker.errors.read_text():
            output(broker, b"!", RunMode.REPLAY_LIVE)
        peer.sendall(b"more")
        output(broker, b"!", RunMode.REPLAY_LIVE)
    assert broker.stop() == 0
    assert broker.errors.read_text().count("input is ignored: this is a replay") == 1
    assert re.search(r"in all \d+ inputs were ignored", broker.errors.read_text())


@pytest.mark.parametrize("word", ["tcp:127.0.0.1:0", "telnet:127.0.0.1:0"])
def test_at_replay_a_peer_that_stalls_and_goes_makes_room_for_the_next(device: Devices, word: str) -> None:
    broker = device(f"{word},server=on,wait=off")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    chunk = b"x" * 16384
    with call(port_of(broker)) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while "slower than the replay" not in broker.errors.read_text():
            output(broker, chunk, RunMode.REPLAY_LIVE)
        # It says that it has nothing more to say, and is still there.
        stalled.shutdown(socket.SHUT_WR)
        with call(port_of(broker)) as peer:
            hear_next(broker, peer)
    assert broker.stop() == 0


def hear_next(broker: FakeBroker, peer: socket.socket) -> None:
    """Have the guest talk until the peer hears it."""
    deadline = time.monotonic() + PATIENCE_S
    seen = b""
    peer.setblocking(False)
    while b"next" not in seen:
        assert time.monotonic() < deadline
        output(broker, b"next", RunMode.REPLAY_LIVE)
        with suppress(BlockingIOError):
            seen += peer.recv(1 << 16)
