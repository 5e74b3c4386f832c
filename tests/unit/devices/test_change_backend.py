"""Another backend behind a device while it runs: what the guest, the recording and the asker see."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

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
from tests.unit.devices.test_shell import Devices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Devices]:
    devices = Devices(tmp_path)
    yield devices
    for broker in devices.brokers:
        broker.close()


def text(data: bytes) -> MmioAccess:
    return MmioAccess(tuple(Access(AccessKind.WRITE, r.DATA, 1, byte) for byte in data))


def test_a_changed_backend_takes_the_output_and_the_guest_sees_the_line_go_down_and_up(
    device: Devices, tmp_path: Path
) -> None:
    broker = device(f"file:{tmp_path}/old")
    broker.start()
    broker.ask(Reset())
    broker.ask(text(b"one"), 5, CPU)
    said = broker.ask(ChangeBackend("dev0", f"file:{tmp_path}/new"))
    assert said == [HostInput(HostEvent.CLOSED), HostInput(HostEvent.OPENED), BackendChanged()]
    assert broker.ask(text(b"two"), 6, CPU) == [HostOutput(b"two"), BackendResult(3), Done()]
    assert (tmp_path / "old").read_bytes() == b"one"
    assert (tmp_path / "new").read_bytes() == b"two"


def test_a_backend_that_cannot_be_had_leaves_the_old_one_and_says_why(device: Devices, tmp_path: Path) -> None:
    broker = device(f"file:{tmp_path}/old")
    broker.start()
    broker.ask(Reset())
    (said,) = broker.ask(ChangeBackend("dev0", f"file:{tmp_path}/no/such/place"))
    assert isinstance(said, BackendChanged)
    assert "No such file" in said.error
    (said,) = broker.ask(ChangeBackend("dev0", "toaster"))
    assert isinstance(said, BackendChanged)
    assert "unknown backend 'toaster'" in said.error
    broker.ask(text(b"still"), 5, CPU)
    assert (tmp_path / "old").read_bytes() == b"still"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("tcp:a..b:5000", "cannot be a host's name"),
        (f"tcp:{'a' * 70}:5000", "cannot be a host's name"),
        (f"telnet:{'a' * 70}.x:1", "cannot be a host's name"),
        (f"udp:{'a' * 70}:5000", "cannot be a host's name"),
        (f"udp:localhost:5000@{'a' * 70}:0", "cannot be a host's name"),
        ("tcp:localhost:" + "9" * 5000, "with a port of 0 to 65535"),
        ("ringbuf:size=" + "9" * 5000, "is not"),
        ("pipe:/tmp/x\0y", "there is a NUL in it"),
        ("unix:/tmp/x\0y", "there is a NUL in it"),
        ("module:os:path", "module:os:path"),
        ("module:..:y", "cannot import"),
        ("module:os:getpid", "TypeError"),
    ],
)
def test_a_word_that_nobody_can_make_sense_of_leaves_the_old_one(
    device: Devices, tmp_path: Path, word: str, reason: str
) -> None:
    broker = device(f"file:{tmp_path}/old")
    broker.start()
    broker.ask(Reset())
    (said,) = broker.ask(ChangeBackend("dev0", word))
    assert isinstance(said, BackendChanged)
    assert reason in said.error
    broker.ask(text(b"still"), 5, CPU)
    assert (tmp_path / "old").read_bytes() == b"still"


def test_a_server_that_takes_nobody_now_holds_up_nobody(device: Devices, tmp_path: Path) -> None:
    broker = device("null")
    broker.start()
    broker.ask(Reset())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "busy"))
        server.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(str(tmp_path / "busy"))
            (said,) = broker.ask(ChangeBackend("dev0", f"unix:{tmp_path}/busy"))
    assert isinstance(said, BackendChanged)
    assert "its server is busy and takes nobody now" in said.error


def test_at_replay_a_change_says_nothing_into_the_run(device: Devices, tmp_path: Path) -> None:
    broker = device("null")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    assert broker.ask(ChangeBackend("dev0", f"file:{tmp_path}/new")) == [BackendChanged()]
    assert broker.ask(text(b"hello"), 5, CPU) == [HostOutput(b"hello")]
    assert broker.ask(BackendResult(5), 5)[-1] == Done()
    assert (tmp_path / "new").read_bytes() == b"hello"


def test_a_change_asked_for_while_the_device_waits_for_an_answer_comes_after_it(
    device: Devices, tmp_path: Path
) -> None:
    broker = device("null")
    broker.start(RunMode.REPLAY_LIVE)
    broker.ask(Reset())
    assert broker.ask(text(b"hello"), 5, CPU) == [HostOutput(b"hello")]
    broker.send(ChangeBackend("dev0", f"file:{tmp_path}/new"))
    assert broker.ask(BackendResult(5), 5)[-1] == Done()
    assert broker.receive() == [BackendChanged()]
    assert (tmp_path / "new").read_bytes() == b""
