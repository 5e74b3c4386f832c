"""A device in a branch: it is what it was, and whoever was behind its line then has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devices.usb.messages import PORTS, Kind, Plugged, encode_plugged, encode_unplugged
from machine.icount import CPU
from machine.message import (
    Access,
    AccessKind,
    BackendResult,
    Done,
    HostEvent,
    HostInput,
    HostOutput,
    Load,
    MmioAccess,
    Reset,
    Save,
    Saved,
)  # fmt: skip
from tests.unit.devices.test_shell import Devices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.message import Message

TYPED = MmioAccess((Access(AccessKind.WRITE, 0, 1, ord("x")),))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Devices]:
    devices = Devices(tmp_path)
    yield devices
    for broker in devices.brokers:
        broker.close()


def state_of(device: Devices, backend: str, kind: str = "serial") -> bytes:
    """A device's state a while after its power-on."""
    broker = device(backend, kind)
    broker.start()
    broker.ask(Reset())
    (*_, answer) = broker.ask(Save())
    assert isinstance(answer, Saved)
    return answer.state


def first_words(device: Devices, backend: str, state: bytes, kind: str = "serial") -> list[Message]:
    """What a device says that starts in a state while the machine is recorded."""
    broker = device(backend, kind)
    broker.start()
    said = broker.ask(Load(state))
    assert broker.ask(Save()) == [Saved(state)]
    return said


def test_a_line_with_somebody_behind_it_goes_and_comes_back(device: Devices, tmp_path: Path) -> None:
    said = first_words(device, f"file:{tmp_path}/new", state_of(device, "null"))
    assert said == [HostInput(HostEvent.CLOSED), HostInput(HostEvent.OPENED)]


def test_a_line_with_nobody_behind_it_just_goes(device: Devices, tmp_path: Path) -> None:
    said = first_words(device, f"unix:{tmp_path}/s,server=on,wait=off", state_of(device, "null"))
    assert said == [HostInput(HostEvent.CLOSED)]


def test_a_script_begins_at_once_behind_that(device: Devices, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('send "hello"\n')
    said = first_words(device, f"script:{script}", state_of(device, "null"))
    assert said == [
        HostInput(HostEvent.CLOSED), HostInput(HostEvent.OPENED), HostInput(HostEvent.DATA, b"h"),
    ]  # fmt: skip


def test_a_card_is_told_of_its_cable_once(device: Devices) -> None:
    assert first_words(device, "none", state_of(device, "none", "nic"), "nic") == [HostInput(HostEvent.CLOSED)]


def test_a_device_without_a_line_says_nothing(device: Devices) -> None:
    state = state_of(device, "host", "rtc")
    broker = device("host", "rtc")
    broker.start()
    broker.send(Load(state))
    assert broker.ask(Save()) == [Saved(state)]


def test_every_port_is_unplugged_and_what_is_there_is_plugged_in(device: Devices) -> None:
    said = first_words(device, "kbd", state_of(device, "mouse", "usb"), "usb")
    gone = [HostInput(HostEvent.CLOSED, encode_unplugged(port)) for port in range(1, PORTS + 1)]
    assert said == [*gone, HostInput(HostEvent.OPENED, encode_plugged(Plugged(1, Kind.KEYBOARD)))]


def test_it_goes_on_to_work(device: Devices, tmp_path: Path) -> None:
    state = state_of(device, "null")
    broker = device(f"file:{tmp_path}/new")
    broker.start()
    broker.ask(Load(state))
    assert broker.ask(TYPED, 5, CPU) == [HostOutput(b"x"), BackendResult(1), Done()]
    assert (tmp_path / "new").read_bytes() == b"x"
