"""The board: what the machine is made of, parsed once from TOML and frozen.

A board file says everything but the guest's own files may be left out; a resolved board, as every
recording holds one, has every value written out.  Errors name the file and the key.
"""

from __future__ import annotations

import re
import tomllib
import typing
from dataclasses import dataclass, field, fields, replace
from typing import Final

from machine.errors import BoardError
from machine.toml_text import parse_toml

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
RAM_BASE: Final = 0x8000_0000
LOWEST_MEMORY: Final = 16 * MIB
HIGHEST_MEMORY: Final = 16 * GIB
PAGE_BYTES: Final = 4096
HIGHEST_IRQ: Final = 31
HIGHEST_SHIFT: Final = 10
HIGHEST_CELL: Final = (1 << 32) - 1
CONTROLLER_WINDOWS: Final = (
    ("test", 0x10_0000, 0x1000),
    ("plic", 0xC00_0000, 0x400_0000),
)
"""Register windows that the CPU node answers itself: name, first address, bytes."""

HOST_KEYS: Final = {"broker_host": "broker", "cpu_host": "cpu"}
"""Keys of [machine] that say which host a process runs on: no part of the machine, and read elsewhere."""
DEVICE_HOST: Final = "host"
"""The same for a device."""

TABLES: Final = ("properties", "options")
"""The keys of a device that are tables."""

Property = int | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeviceSlot:
    """One device: where it sits on the bus, its interrupt line and its backend."""

    name: str
    kind: str
    address: int
    irq: int = 0
    size: int = PAGE_BYTES
    backend: str = ""
    compatible: tuple[str, ...] = ()
    properties: tuple[tuple[str, Property], ...] = ()
    """For the device tree."""
    options: tuple[tuple[str, Property], ...] = ()
    """For the device's model."""

    @property
    def end(self) -> int:
        """The first address behind the register window."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Board:
    """A whole machine.  `kernel`, `initrd` are paths, "" for none; `memory` is in bytes."""

    name: str
    cpu: str = "riscv64"
    memory: int = 512 * MIB
    shift: int = 0
    sleep: bool = True
    guest: str = ""
    kernel: str = ""
    initrd: str = ""
    append: str = ""
    devices: tuple[DeviceSlot, ...] = field(default=())

    def device(self, name: str) -> DeviceSlot:
        """The slot of a device; BoardError if there is none of that name."""
        for slot in self.devices:
            if slot.name == name:
                return slot
        raise BoardError(f"board {self.name} has no device {name}")

    @property
    def backends(self) -> dict[str, str]:
        """The backend of each device."""
        return {slot.name: slot.backend for slot in self.devices}

    def with_backend(self, name: str, backend: str) -> Board:
        """The same board with another backend behind one device."""
        self.device(name)
        slots = tuple(replace(s, backend=backend) if s.name == name else s for s in self.devices)
        return replace(self, devices=slots)


def parse_size(text: str) -> int:
    """Bytes in QEMU's words: `512M`, `2G`, `65536K`, or a plain number of mebibytes."""
    match = re.fullmatch(r"(\d{1,18})([KMG]?)", text.strip(), re.IGNORECASE)
    if match is None:
        raise BoardError(f"memory size {text!r} is not a number with K, M or G, such as 512M")
    unit = {"K": KIB, "M": MIB, "G": GIB, "": MIB}[match[2].upper()]
    return int(match[1]) * unit


def parse_board(text: str, source: str) -> Board:
    """The board in TOML text; `source` names it in errors.  BoardError names file and key."""
    try:
        data = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise BoardError(f"{source}: not TOML: {error}") from error
    machine = _table(data, "machine", source)
    # A recording keeps its own facts beside the board, in [recording].
    _only(data, {"machine", "device", "recording", "hosts"}, source, "")
    devices = data.get("device", [])
    if not isinstance(devices, list) or not all(isinstance(d, dict) for d in devices):
        raise BoardError(f"{source}: device: write each device as a [[device]] table")
    slots = tuple(_parse_slot(entry, i, source) for i, entry in enumerate(devices))
    values = _parse_machine(machine, source)
    board = Board(devices=slots, **values)
    check_board(board, source)
    return board


def _table(data: dict[str, object], key: str, source: str) -> dict[str, object]:
    table = data.get(key)
    if not isinstance(table, dict):
        raise BoardError(f"{source}: {key}: the [{key}] table is missing")
    return typing.cast("dict[str, object]", table)


def _only(table: typing.Mapping[str, object], allowed: set[str], source: str, prefix: str) -> None:
    for key in table:
        if key not in allowed:
            known = ", ".join(sorted(allowed))
            raise BoardError(f"{source}: {prefix}{key}: unknown key (known: {known})")


def _parse_machine(table: dict[str, object], source: str) -> dict[str, typing.Any]:
    names = {f.name for f in fields(Board)} - {"devices"}
    table = {key: value for key, value in table.items() if key not in HOST_KEYS}
    _only(table, names, source, "machine.")
    if "name" not in table:
        raise BoardError(f"{source}: machine.name: missing")
    values: dict[str, typing.Any] = {}
    for key, value in table.items():
        where = f"{source}: machine.{key}"
        if key == "memory":
            values[key] = _parse_memory(value, where)
        elif key == "sleep":
            values[key] = _parse_sleep(value, where)
        else:
            values[key] = _typed(value, int if key == "shift" else str, where)
    return values


def _parse_sleep(value: object, where: str) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("on", "off"):
        return value == "on"
    raise BoardError(f"{where}: {value!r} is neither on nor off")


def _typed(value: object, kind: type, where: str) -> typing.Any:  # noqa: ANN401  # what the TOML holds
    if isinstance(value, bool) or not isinstance(value, kind):
        wanted = {int: "a whole number", str: "a string", dict: "a table", list: "a list"}[kind]
        raise BoardError(f"{where}: {value!r} is not {wanted}")
    return value


def _parse_slot(entry: dict[str, object], index: int, source: str) -> DeviceSlot:
    label = entry.get("name", index)
    prefix = f"device.{label}."
    entry = {key: value for key, value in entry.items() if key != DEVICE_HOST}
    _only(entry, {f.name for f in fields(DeviceSlot)}, source, prefix)
    for key in ("name", "kind", "address"):
        if key not in entry:
            raise BoardError(f"{source}: {prefix}{key}: missing")
    values: dict[str, typing.Any] = {}
    for key, value in entry.items():
        where = f"{source}: {prefix}{key}"
        if key in TABLES:
            values[key] = _parse_properties(_typed(value, dict, where), where)
        elif key == "compatible":
            values[key] = tuple(_typed(v, str, where) for v in _typed(value, list, where))
        else:
            kind = int if key in ("address", "irq", "size") else str
            values[key] = _typed(value, kind, where)
    return DeviceSlot(**values)


def _parse_properties(table: dict[str, object], where: str) -> tuple[tuple[str, Property], ...]:
    rows: list[tuple[str, Property]] = []
    for key, value in sorted(table.items()):
        if isinstance(value, list):
            rows.append((key, tuple(_cell(v, f"{where}.{key}") for v in value)))
        elif isinstance(value, str):
            rows.append((key, value))
        elif isinstance(value, int) and not isinstance(value, bool):
            rows.append((key, _cell(value, f"{where}.{key}")))
        else:
            raise BoardError(f"{where}.{key}: {value!r} is not a number, a string or a list of numbers")
    return tuple(rows)


def _cell(value: object, where: str) -> int:
    """A number of a device tree (Devicetree Specification 0.4, 2.2.4)."""
    number: int = _typed(value, int, where)
    if not 0 <= number <= HIGHEST_CELL:
        raise BoardError(f"{where}: {number} is not 0 to {HIGHEST_CELL}")
    return number


def _parse_memory(value: object, where: str) -> int:
    if not isinstance(value, str):
        size: int = _typed(value, int, where)
        return size
    try:
        return parse_size(value)
    except BoardError as error:
        raise BoardError(f"{where}: {error}") from error


def check_board(board: Board, source: str) -> None:
    """What must hold of every board; BoardError names file and key."""
    if not LOWEST_MEMORY <= board.memory <= HIGHEST_MEMORY or board.memory % PAGE_BYTES:
        raise BoardError(f"{source}: machine.memory: {board.memory} bytes is not 16M to 16G in whole pages")
    if not 0 <= board.shift <= HIGHEST_SHIFT:
        raise BoardError(f"{source}: machine.shift: {board.shift} is not 0 to {HIGHEST_SHIFT}")
    _check_names(board, source)
    _check_irqs(board, source)
    _check_windows(board, source)


def _check_names(board: Board, source: str) -> None:
    seen: set[str] = set()
    for slot in board.devices:
        where = f"{source}: device.{slot.name}.name"
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", slot.name):
            raise BoardError(f"{where}: a name is small letters, digits, - and _, such as serial0")
        if slot.name in ("broker", "cpu"):
            raise BoardError(f"{where}: the {slot.name} is there without being named; give the device another")
        if slot.name in seen:
            raise BoardError(f"{where}: used twice")
        seen.add(slot.name)


def _check_irqs(board: Board, source: str) -> None:
    owners: dict[int, str] = {}
    for slot in board.devices:
        where = f"{source}: device.{slot.name}.irq"
        if not 0 <= slot.irq <= HIGHEST_IRQ:
            raise BoardError(f"{where}: {slot.irq} is not 0 (none) to {HIGHEST_IRQ}")
        if slot.irq and slot.irq in owners:
            raise BoardError(f"{where}: {slot.irq} is already {owners[slot.irq]}'s")
        owners[slot.irq] = slot.name


def _check_windows(board: Board, source: str) -> None:
    windows = [*CONTROLLER_WINDOWS, ("memory", RAM_BASE, board.memory)]
    for slot in board.devices:
        where = f"{source}: device.{slot.name}.address"
        if slot.address % PAGE_BYTES or slot.size <= 0 or slot.address < 0 or slot.end > 1 << 56:
            raise BoardError(f"{where}: {slot.address:#x} with {slot.size:#x} bytes is not a window of whole pages")
        for name, address, size in windows:
            if slot.address < address + size and address < slot.end:
                raise BoardError(f"{where}: {slot.address:#x} overlaps {name} at {address:#x}")
        windows.append((slot.name, slot.address, slot.size))


def render_board(board: Board) -> str:
    """TOML text that parses to the same board, every value written out."""
    lines = ["[machine]"]
    lines += [f"{m.name} = {_toml(getattr(board, m.name))}" for m in fields(Board) if m.name != "devices"]
    for slot in board.devices:
        lines += ["", "[[device]]"]
        named = [m.name for m in fields(DeviceSlot) if m.name not in TABLES]
        lines += [f"{name} = {_toml(getattr(slot, name), name)}" for name in named]
        for table in TABLES:
            if rows := getattr(slot, table):
                lines.append(f"[device.{table}]")
                lines += [f"{_toml(key)} = {_toml(value)}" for key, value in rows]
    return "\n".join(lines) + "\n"


def _toml(value: object, key: str = "") -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return hex(value) if key in ("address", "size") else str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return _toml_string(str(value))


def _toml_string(text: str) -> str:
    """A TOML basic string (TOML 1.0, String): control characters, quotes and backslashes escaped."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char < " " or char == "\x7f":
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'
