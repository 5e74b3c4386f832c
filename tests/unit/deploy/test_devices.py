"""Devices by the command line: where a word puts them, and what is left of it for the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.devices import NO_WORDS, DeviceWords, absolute_word, kept_backends, with_devices, with_listeners
from deploy.resolve import load_board
from machine.board import HIGHEST_IRQ, Board, DeviceSlot, check_board, parse_board, render_board
from machine.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def board() -> Board:
    return load_board("debian")[0]


def added(board: Board, words: DeviceWords) -> dict[str, DeviceSlot]:
    """The machine with devices, checked, back from its own text."""
    whole = with_devices(board, words)
    check_board(whole, "test")
    assert parse_board(render_board(whole), "again") == whole
    return {slot.name: slot for slot in whole.devices}


def test_cards_sit_where_qemu_has_them_and_each_has_its_own_address(board: Board) -> None:
    slots = added(board, DeviceWords(nic=("user", "none,mac=02:00:00:00:00:07"), rng=("seed=4",)))
    assert [(slots[n].address, slots[n].irq) for n in ("nic0", "nic1", "rng0")] == [
        (0x1000_1000, 1),
        (0x1000_2000, 2),
        (0x1000_3000, 3),
    ]
    assert dict(slots["nic0"].options) == {"mac": "52:54:00:12:34:56"}
    assert (dict(slots["nic1"].options), slots["nic1"].backend) == ({"mac": "02:00:00:00:00:07"}, "none")
    assert slots["rng0"].backend == "seed=4"
    assert slots["nic0"].compatible == ("virtio,mmio",)


def test_an_input_device_is_told_its_type_and_its_backend_the_rest(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slots = added(board, DeviceWords(input=("kbd", "mouse,script=moves", "tablet,evdev=/dev/input/event3")))
    assert [(dict(slots[f"input{n}"].options)["type"], slots[f"input{n}"].backend) for n in range(3)] == [
        ("kbd", "none"),
        ("mouse", f"script,path={tmp_path}/moves"),
        ("tablet", "evdev,path=/dev/input/event3"),
    ]


def test_every_usb_word_is_a_port_of_one_controller(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slots = added(board, DeviceWords(usb=("kbd", "storage,file=stick.img", "serial,unix:/tmp/s,server=on")))
    assert slots["usb0"].backend == f"kbd;storage,file={tmp_path}/stick.img;serial,unix:/tmp/s,server=on"
    assert (slots["usb0"].compatible, slots["usb0"].size) == (("generic-xhci",), 0x4000)


def test_a_second_serial_line_is_as_the_first(board: Board) -> None:
    slots = added(board, DeviceWords(serial=("null", "pty")))
    assert slots["serial0"].backend == "null"
    first, second = slots["serial0"], slots["serial1"]
    assert (second.backend, second.compatible, second.properties) == ("pty", first.compatible, first.properties)
    assert second.irq not in (0, first.irq)


def test_a_board_has_only_so_many_interrupt_lines(board: Board) -> None:
    with pytest.raises(UsageError, match="no interrupt line left"):
        with_devices(board, DeviceWords(nic=("none",) * (HIGHEST_IRQ + 1)))


def test_a_replay_is_quiet_but_for_what_is_given(board: Board) -> None:
    recorded = with_devices(board, DeviceWords(nic=("user", "user"), input=("kbd",), usb=("kbd",), rng=("host",)))
    heard = with_listeners(recorded, DeviceWords(nic=("pcap:/out.pcapng",), input=("none",)))
    words = {slot.name: slot.backend for slot in heard.devices}
    assert words == {
        "serial0": "null", "rtc0": "host", "nic0": "pcap:/out.pcapng", "nic1": "none", "input0": "none",
        "usb0": "none", "rng0": "host",
    }  # fmt: skip
    assert [slot.options for slot in heard.devices] == [slot.options for slot in recorded.devices]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (DeviceWords(input=("joystick",)), "'joystick' is none of kbd, mouse, tablet"),
        (DeviceWords(input=("kbd,colour=red",)), "'colour=red' is neither script=FILE nor evdev=DEVICE"),
        (DeviceWords(usb=("storage,file=a;b",)), "cannot be part of it"),
        (DeviceWords(rng=("dice",)), "'dice' is neither host nor seed=N"),
        (DeviceWords(rng=("seed=x",)), "'seed=x' is neither host nor seed=N"),
    ],
)
def test_a_word_that_cannot_be_is_named(board: Board, words: DeviceWords, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_devices(board, words)


def test_only_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        absolute_word("user,pcap=a.pcapng,hostfwd=tcp::22-:22") == f"user,pcap={tmp_path}/a.pcapng,hostfwd=tcp::22-:22"
    )
    assert absolute_word("pcap:a,,b") == f"pcap:{tmp_path}/a,,b"
    assert absolute_word("stdio") == "stdio"


def test_what_is_opened_as_a_recording_has_it_is_told(board: Board) -> None:
    recorded = with_devices(board, DeviceWords(serial=("file:/a", "null", "unix:/b"), nic=("user",), rng=("host",)))
    assert kept_backends(recorded, NO_WORDS) == ("serial0 file:/a", "serial2 unix:/b", "nic0 user")
    assert kept_backends(recorded, DeviceWords(serial=("null",), nic=("none",))) == ("serial2 unix:/b",)


@pytest.mark.parametrize(
    "words",
    [
        DeviceWords(serial=("module:os:execl,/bin/true",)),
        DeviceWords(input=("kbd,module:os:abort",)),
        DeviceWords(usb=("kbd", "serial,module:os:abort")),
    ],
)
def test_code_that_a_recording_names_is_run_only_for_whom_names_it_himself(board: Board, words: DeviceWords) -> None:
    recorded = with_devices(board, words)
    with pytest.raises(UsageError, match="wants code run"):
        kept_backends(recorded, NO_WORDS)
    assert not [kept for kept in kept_backends(recorded, words) if "module:" in kept]
