"""Devices by the command line: --serial, --nic, --input, --usb and --rng in QEMU's words become slots of the board.

Lives here: which slot a word is for, where a new one sits, which part of a word is the model's.
Never here: what a backend makes of its word (devices/backends/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.board import CONTROLLER_WINDOWS, HIGHEST_IRQ, PAGE_BYTES, RAM_BASE, DeviceSlot
from machine.errors import BoardError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from machine.board import Board, Property

VIRTIO_BASE: Final = 0x1000_1000
"""QEMU's first virtio-mmio slot; the slots follow each other a page apart, interrupts from 1 on."""
USB_BASE: Final = 0x1002_0000
USB_BYTES: Final = 0x4000
USB_PROPERTIES: Final = (("imod-interval-ns", 0),)
"""Linux's interrupts are not held back: at one instruction a nanosecond they would wait longer than they take."""
SERIAL_BASE: Final = 0x1004_0000
"""Serial lines beyond the board's own."""
FIRST_MAC: Final = 0x52_54_00_12_34_56
"""QEMU's first; the next card's is one more."""
INPUT_TYPES: Final = ("kbd", "mouse", "tablet")
PATH_KEYS: Final = ("file", "script", "evdev", "path", "pcap", "addr.path", "local.path", "remote.path")
NO_SCRIPT: Final = "script=no"
"""QEMU's word for a tap interface that somebody else sets up."""
PATH_WORDS: Final = ("file", "script", "pcap", "pipe")
"""First words whose argument is a path, behind a colon."""
OUTSIDE: Final = ":"
"""What only the kind of a device from outside has: `package.module:NAME`."""
FROM_PACKAGE: Final = "module:"
"""In front of a backend that is not ours (docs/api.md)."""
QUIET: Final = {"serial": "null", "nic": "none", "input": "none", "usb": "none"}
"""The backend that says nothing, by the device's kind; the other kinds have no backend."""


@dataclass(frozen=True, slots=True)
class DeviceWords:
    """What the command line says of each kind of device, in its order; () leaves the board as it is."""

    serial: tuple[str, ...] = ()
    nic: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    usb: tuple[str, ...] = ()
    rng: tuple[str, ...] = ()

    def given(self) -> tuple[str, ...]:
        """The kinds of which something is said."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))

    def of(self, kind: str) -> tuple[str, ...]:
        """The words for one kind; the ports of a USB controller are one word, `;` between them."""
        words: tuple[str, ...] = getattr(self, kind)
        if kind != "usb" or not words:
            return words
        for word in words:
            if ";" in word:
                raise UsageError(f"--usb {word}: a `;` cannot be part of it: it stands between ports")
        return (";".join(words),)


ENTROPY: Final = re.compile(r"host|seed=[0-9]+")
OF_BROKER: Final = {
    "rng": (re.compile(rf"{ENTROPY.pattern}|none|"), "host nor seed=N with a whole number"),
    "rtc": (re.compile(r"host|fixed:[0-9]{1,10}|"), "host nor fixed:SECONDS"),
}
"""Backends that are the broker's own, so that no device refuses a wrong word: pattern, and what else it is."""
NO_WORDS: Final = DeviceWords()


def check_words(board: Board) -> None:
    """BoardError if a device's backend, which the broker stands in for, is none."""
    for slot in board.devices:
        pattern, known = OF_BROKER.get(slot.kind, (None, ""))
        if pattern is not None and not pattern.fullmatch(slot.backend):
            raise BoardError(f"device.{slot.name}.backend: {slot.backend!r} is neither {known}")


def with_devices(board: Board, words: DeviceWords) -> Board:
    """The board with the first word of a kind on its first device of that kind, ...; more words add devices.

    UsageError names the option that cannot be.
    """
    for kind in words.given():
        for number, word in enumerate(words.of(kind)):
            options, backend = _divide(kind, word, number)
            slots = [slot for slot in board.devices if slot.kind == kind]
            if number < len(slots):
                options = {**dict(slots[number].options), **options}
                slot = slots[number]
            else:
                slot = _new_slot(board, kind, number)
                board = replace(board, devices=(*board.devices, slot))
            changed = replace(slot, backend=backend, options=tuple(sorted(options.items())))
            board = _exchanged(board, changed)
    return board


def with_listeners(board: Board, words: DeviceWords) -> Board:
    """A recorded board to be replayed: every backend quiet but those given, in the order of the devices."""
    for slot in board.devices:
        if slot.kind in QUIET or OUTSIDE in slot.kind:
            board = board.with_backend(slot.name, QUIET.get(slot.kind, ""))
    for kind in words.given():
        slots = [slot for slot in board.devices if slot.kind == kind]
        given = words.of(kind)
        if len(given) > len(slots):
            raise UsageError(f"--{kind} given {len(given)} times; the recording has {len(slots)} such devices")
        for slot, word in zip(slots, given, strict=False):
            _, backend = _divide(kind, word, 0, listening=True)
            board = board.with_backend(slot.name, backend)
    return board


def with_backends(board: Board, words: DeviceWords) -> Board:
    """A recorded board to go on with: the same devices, other backends where some are given."""
    for kind in words.given():
        slots = [slot for slot in board.devices if slot.kind == kind]
        given = words.of(kind)
        if len(given) > len(slots):
            raise UsageError(f"--{kind} given {len(given)} times; the recording has {len(slots)} such devices")
        for slot, word in zip(slots, given, strict=False):
            options, backend = _divide(kind, word, 0)
            had = dict(slot.options)
            for key in options.keys() & had.keys():
                if options[key] != had[key] and (key != "mac" or "mac=" in word):
                    raise UsageError(
                        f"--{kind} {word}: {slot.name} has {key} {had[key]} in the recording, and keeps it"
                    )
            board = board.with_backend(slot.name, backend)
    return board


def kept_backends(board: Board, words: DeviceWords) -> tuple[str, ...]:
    """Device and backend of each that is opened as a recorded board has it, no option having named another.

    UsageError if one of them is code of a package: that is run for nobody who has not named it himself.
    """
    kept: list[str] = []
    for kind in dict.fromkeys(slot.kind for slot in board.devices):
        if kind in QUIET or OUTSIDE in kind:
            slots = [slot for slot in board.devices if slot.kind == kind]
            named = len(words.of(kind)) if kind in QUIET else 0
            kept += [
                f"{slot.name} {slot.backend}" for slot in slots[named:] if slot.backend not in ("", QUIET.get(kind))
            ]
    if code := next((each for each in kept if FROM_PACKAGE in each), None):
        raise UsageError(f"the recording wants code run as a backend: {code}; name it, or another one, by an option")
    return tuple(kept)


def absolute_word(word: str) -> str:
    """A word with its paths made absolute, for a machine that is started from elsewhere."""
    first, colon, rest = word.partition(":")
    if colon and first in PATH_WORDS and rest:
        path, comma, options = rest.partition(",")
        return f"{first}:{Path(path).absolute()}{comma}{options}"
    parts = []
    for part in re.split(r"(?<!,),(?!,)", word):
        key, equals, value = part.partition("=")
        is_path = equals and value and key in PATH_KEYS and part != NO_SCRIPT
        parts.append(f"{key}={Path(value).absolute()}" if is_path else part)
    return ",".join(parts)


def _absolute_port(word: str) -> str:
    """A USB port's word; a serial adapter's backend is a word of its own."""
    first, comma, rest = word.partition(",")
    return f"{first},{absolute_word(rest)}" if comma and first == "serial" else absolute_word(word)


def _divide(kind: str, word: str, number: int, *, listening: bool = False) -> tuple[dict[str, Property], str]:
    """A word as what the model is told and what the backend is told."""
    if kind == "usb":
        return {}, ";".join(_absolute_port(port) for port in word.split(";"))
    word = absolute_word(word)
    if kind == "nic":
        return _divide_nic(word, number)
    if kind == "input" and not (listening and word.partition(",")[0] not in INPUT_TYPES):
        return _divide_input(word)
    if kind == "rng" and not ENTROPY.fullmatch(word) and not (listening and word == "none"):
        raise UsageError(f"--rng {word}: {word!r} is neither host nor seed=N with a whole number")
    return {}, word


def _divide_nic(word: str, number: int) -> tuple[dict[str, Property], str]:
    """`mac=` is the card's own, all else its backend's."""
    mac = FIRST_MAC + number
    options: dict[str, Property] = {"mac": ":".join(f"{mac >> shift & 0xFF:02x}" for shift in range(40, -8, -8))}
    parts = []
    for part in word.split(","):
        if part.startswith("mac="):
            options["mac"] = part.removeprefix("mac=")
        else:
            parts.append(part)
    return options, ",".join(parts)


def _divide_input(word: str) -> tuple[dict[str, Property], str]:
    """`kbd,script=FILE`: the type is the device's, the rest names its backend."""
    kind, _, rest = word.partition(",")
    if kind not in INPUT_TYPES:
        raise UsageError(f"--input {word}: {kind!r} is none of {', '.join(INPUT_TYPES)}")
    if not rest:
        return {"type": kind}, QUIET["input"]
    source, equals, path = rest.partition("=")
    if rest.startswith("module:"):
        return {"type": kind}, rest
    if source not in ("script", "evdev") or not equals or not path:
        raise UsageError(f"--input {word}: {rest!r} is neither script=FILE nor evdev=DEVICE")
    return {"type": kind}, f"{source},path={path}"


def _exchanged(board: Board, slot: DeviceSlot) -> Board:
    return replace(board, devices=tuple(slot if old.name == slot.name else old for old in board.devices))


def _new_slot(board: Board, kind: str, number: int) -> DeviceSlot:
    """A place for another device of a kind; UsageError when the board is full."""
    name = f"{kind}{number}"
    if kind == "usb":
        return DeviceSlot(name, kind, _free_address(board, USB_BASE, USB_BYTES), _free_irq(board, 12), USB_BYTES,
                          compatible=("generic-xhci",), properties=USB_PROPERTIES)  # fmt: skip
    if kind == "serial":
        first = next((slot for slot in board.devices if slot.kind == kind), None)
        if first is None:
            raise UsageError(f"board {board.name} has no device of kind serial, which --serial could change")
        return replace(first, name=name, address=_free_address(board, SERIAL_BASE), irq=_free_irq(board, 13))
    address = _free_address(board, VIRTIO_BASE)
    return DeviceSlot(name, kind, address, _free_irq(board, 1), compatible=("virtio,mmio",))


def _free_address(board: Board, lowest: int, size: int = PAGE_BYTES) -> int:
    """The first window of whole pages from `lowest` on that nobody has."""
    taken = [*((a, a + size) for _, a, size in CONTROLLER_WINDOWS), *((s.address, s.end) for s in board.devices)]
    address = lowest
    while any(start < address + size and address < end for start, end in taken):
        address += PAGE_BYTES
    assert address < RAM_BASE
    return address


def _free_irq(board: Board, lowest: int) -> int:
    """A free interrupt line, from `lowest` on if there is one; UsageError when all are taken."""
    taken = {slot.irq for slot in board.devices}
    candidates: Iterable[int] = (*range(lowest, HIGHEST_IRQ + 1), *range(1, lowest))
    for irq in candidates:
        if irq not in taken:
            return irq
    raise UsageError(f"board {board.name} has no interrupt line left for another device")
