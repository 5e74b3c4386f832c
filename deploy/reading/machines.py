"""What differs between the machines of two recordings: board, guest files, versions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from machine.board import Board, DeviceSlot
    from machine.recording.reader import Recording


@dataclass(frozen=True, slots=True)
class MachineDifference:
    """A key of machine.toml and its two values, as text; "" where one side does not have it."""

    key: str
    a: str
    b: str


def machine_differences(a: Recording, b: Recording) -> list[MachineDifference]:
    """Every difference in the order of machine.toml.  Each recording's own id and date are none."""
    pairs = ((_board(a.board), _board(b.board)), (_devices(a.board), _devices(b.board)), (_facts(a), _facts(b)))
    return [difference for left, right in pairs for difference in _differences(left, right)]


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[MachineDifference]:
    for key in dict.fromkeys((*a, *b)):
        if a.get(key) != b.get(key):
            yield MachineDifference(key, a.get(key, ""), b.get(key, ""))


def _board(board: Board) -> dict[str, str]:
    return {f"machine.{f.name}": str(getattr(board, f.name)) for f in fields(board) if f.name != "devices"}


def _devices(board: Board) -> dict[str, str]:
    values = {"device": " ".join(slot.name for slot in board.devices)}
    for slot in board.devices:
        values |= {f"device.{slot.name}.{key}": text for key, text in _slot(slot)}
    return values


def _slot(slot: DeviceSlot) -> Iterator[tuple[str, str]]:
    for member in fields(slot):
        value = getattr(slot, member.name)
        if member.name in ("properties", "options"):
            yield from ((f"{member.name}.{key}", str(part)) for key, part in value)
        elif member.name in ("address", "size"):
            yield member.name, hex(value)
        else:
            yield member.name, " ".join(value) if isinstance(value, tuple) else str(value)


def _facts(recording: Recording) -> dict[str, str]:
    facts = recording.facts
    values = {"recording.wire": str(facts.wire), "recording.redacted": " ".join(facts.redacted)}
    values |= {f"recording.versions.{name}": version for name, version in facts.versions}
    for file in facts.files:
        values |= {f"recording.file.{file.role}.{key}": str(getattr(file, key)) for key in ("path", "size", "sha256")}
    return values
