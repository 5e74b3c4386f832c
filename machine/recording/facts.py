"""What a recording remembers about the world it was made in: the [recording] table of machine.toml."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import sys
import typing
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from machine.errors import LogError, UnknownLogVersion, UsageError
from machine.message import WIRE_VERSION
from machine.recording.chain import BEFORE_ALL
from machine.recording.continuation import Continued, parse_continued, render_continued
from machine.recording.cut import Cut, parse_cut
from machine.recording.format import FORMAT_VERSION, READABLE_FORMATS
from machine.recording.place import START, Place, Point
from machine.recording.regular import open_regular

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.board import Board

LIBRARIES: Final = ("unicorn", "protobuf", "mcap", "dejavm")
"""The packages whose versions a replay may depend on."""

PARENT_NUMBERS: Final = ("wanted", "icount", "seq", "inputs", "idle_ns", "snapshot")

DECISIVE: Final = ("unicorn",)
"""Those of which a replay needs the very one: another engine may take its traps elsewhere."""

_READ_BYTES: Final = 1 << 16
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file the guest saw: its role (`kernel`, `initrd`), absolute path, bytes, SHA-256 in hex."""

    role: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Parent:
    """Where a branch has left another recording: behind its message `seq`, with nothing under way.

    `wanted` is the instruction that was asked for, `icount` the sync point at or behind it; `inputs`, `chain` and
    `idle_ns`, virtual time slept, are those of the parent up to there.  `snapshot` of the branch is the machine there.
    """

    id: str
    path: str
    wanted: int
    icount: int
    seq: int
    inputs: int
    chain: bytes
    idle_ns: int
    snapshot: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Who recorded what, and with which versions.

    `id` is 128 random bits in hex; `created` an ISO 8601 date and time in UTC; `versions` pairs of
    name and version, Python's first.
    """

    id: str
    created: str
    format: int = FORMAT_VERSION
    wire: int = WIRE_VERSION
    versions: tuple[tuple[str, str], ...] = ()
    files: tuple[GuestFile, ...] = ()
    states: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    """The vmstates of each node, as (node, ((name, version), ...)); () in recordings that do not say."""
    cut: Cut | None = None
    """Where it begins, if it was cut out of another."""
    redacted: tuple[str, ...] = ()
    """Channels whose bytes have been replaced; such a recording can be read and not replayed."""
    parent: Parent | None = None
    """Of a branch: what it is a branch of."""
    closed: int = field(default=0, compare=False)
    """Bytes of the log when it was closed; 0 if it never was, or the recording does not say."""
    continued: tuple[Continued, ...] = ()
    """Where other brokers went on with it, each when the one before had died."""

    @property
    def beginning(self) -> Point:
        """In front of the recording's first message."""
        parent = self.parent
        if self.cut is not None:
            return self.cut.point
        if parent is None:
            return START
        place = Place(0, parent.seq, parent.icount, parent.chain)
        return Point(place, parent.seq, parent.inputs, parent.chain)

    @property
    def slept_ns(self) -> int:
        """Virtual time that the guest had slept there."""
        begins = self.cut or self.parent
        return begins.idle_ns if begins is not None else 0

    @property
    def snapshot(self) -> int:
        """The snapshot that is the machine there, 0 for power-on."""
        begins = self.cut or self.parent
        return begins.snapshot if begins is not None else 0


def gather_facts(board: Board, created_ns: int) -> Facts:
    """The facts of a recording that starts now; `created_ns` is the host's Unix time in nanoseconds.

    Reads the board's kernel and initrd whole, for their digests.  UsageError if one cannot be read.
    """
    created = datetime.fromtimestamp(created_ns / _NS_PER_S, UTC).isoformat(timespec="microseconds")
    roles = (("kernel", board.kernel), ("initrd", board.initrd))
    files = tuple(_guest_file(role, path) for role, path in roles if path)
    return Facts(secrets.token_hex(16), created, versions=_versions(), files=files)


def check_versions(facts: Facts) -> None:
    """What decides a run is here as it was there; LogError shows both sides of the first difference."""
    here = dict(_versions())
    if facts.wire != WIRE_VERSION:
        raise LogError(f"the recording speaks wire version {facts.wire}, this program {WIRE_VERSION}")
    for name, recorded in facts.versions:
        if name in DECISIVE and here.get(name) != recorded:
            raise LogError(
                f"recorded with {name} {recorded}, and here is {here.get(name)}; "
                f"a replay needs the same: install {name} {recorded}"
            )


def check_states(facts: Facts, here: Mapping[str, Mapping[str, int]]) -> None:
    """The states of the nodes that take part are of the recorded versions; LogError shows both sides of a difference.

    `here` has name and version by node.  A digest of a state, and a snapshot, mean nothing in another version.
    """
    for node, recorded in facts.states:
        if node in here and dict(recorded) != here[node]:
            different = sorted(set(recorded) ^ set(here[node].items()))
            name = different[0][0]
            then, now = (_state_text(name, states) for states in (dict(recorded), here[node]))
            raise LogError(f"{node}: recorded with {then}, and here is {now}; use the dejavm that made it")


def _state_text(name: str, states: Mapping[str, int]) -> str:
    return f"version {states[name]} of state {name}" if name in states else f"no state {name}"


def render_facts(facts: Facts) -> str:
    """The [recording] table as TOML text."""
    lines = ["[recording]"]
    lines += [f"{key} = {_toml(getattr(facts, key))}" for key in ("id", "format", "wire", "created")]
    if facts.closed:
        lines.append(f"closed = {facts.closed}")
    if facts.redacted:
        lines.append(f"redacted = [{', '.join(_toml(channel) for channel in facts.redacted)}]")
    if facts.cut is not None:
        lines += ["", "[recording.cut]"]
        lines += [f"{item.name} = {_toml(getattr(facts.cut, item.name))}" for item in fields(facts.cut)]
    if facts.parent is not None:
        lines += render_parent(facts.parent)
    lines += render_continued(facts.continued)
    lines += ["", "[recording.versions]"]
    lines += [f"{_key(name)} = {_toml(version)}" for name, version in facts.versions]
    for node, states in facts.states:
        lines += ["", f"[recording.states.{_toml(node)}]"]
        lines += [f"{_toml(name)} = {version}" for name, version in states]
    for file in facts.files:
        lines += ["", "[[recording.file]]"]
        lines += [f"{key} = {_toml(getattr(file, key))}" for key in ("role", "path", "size", "sha256")]
    return "\n".join(lines) + "\n"


def parse_facts(table: object, source: str) -> Facts:
    """The facts in a parsed [recording] table; LogError names `source` and key, UnknownLogVersion is newer."""
    if not isinstance(table, dict):
        raise LogError(f"{source}: recording: the [recording] table is missing; this is not a recording")
    version = _value(table, "format", int, source)
    if version not in READABLE_FORMATS:
        known = ", ".join(map(str, READABLE_FORMATS))
        raise UnknownLogVersion(
            f"{source}: recording.format: the recording has format {version}, "
            f"this program reads formats {known}; use the dejavm that made it"
        )
    versions = table.get("versions", {})
    files = table.get("file", [])
    redacted = table.get("redacted", [])
    if not isinstance(versions, dict) or not isinstance(files, list) or not isinstance(redacted, list):
        raise LogError(f"{source}: recording: versions must be a table, file a list of tables, redacted a list")
    return Facts(
        id=_value(table, "id", str, source),
        created=_value(table, "created", str, source),
        format=version,
        wire=_value(table, "wire", int, source),
        versions=tuple((str(name), str(value)) for name, value in versions.items()),
        files=tuple(_parse_file(entry, source) for entry in files),
        states=tuple((node, _parse_states(states, source)) for node, states in _nodes(table, source).items()),
        cut=parse_cut(table.get("cut"), source),
        redacted=tuple(str(channel) for channel in redacted),
        parent=parse_parent(table["parent"], source) if "parent" in table else None,
        closed=_value(table, "closed", int, source) if "closed" in table else 0,
        continued=parse_continued(table.get("continued", []), source),
    )


def render_parent(parent: Parent) -> list[str]:
    """The [recording.parent] table, a line each."""
    values = {item.name: getattr(parent, item.name) for item in fields(parent)} | {"chain": parent.chain.hex()}
    return ["", "[recording.parent]", *(f"{key} = {_toml(value)}" for key, value in values.items())]


def parse_parent(table: object, source: str) -> Parent:
    """What a parsed [recording.parent] table says; LogError."""
    if not isinstance(table, dict):
        raise LogError(f"{source}: recording.parent: write the parent as a table")
    numbers = {key: _value(table, key, int, source) for key in PARENT_NUMBERS}
    try:
        chain = bytes.fromhex(_value(table, "chain", str, source))
    except ValueError as error:
        raise LogError(f"{source}: recording.parent.chain: not hexadecimal") from error
    if len(chain) != len(BEFORE_ALL) or min(numbers.values()) < 0 or not numbers["seq"]:
        raise LogError(f"{source}: recording.parent: a chain has {len(BEFORE_ALL)} bytes, and no number is below zero")
    return Parent(_value(table, "id", str, source), _value(table, "path", str, source), chain=chain, **numbers)


def _nodes(table: dict[str, object], source: str) -> dict[str, object]:
    states = table.get("states", {})
    if not isinstance(states, dict):
        raise LogError(f"{source}: recording.states: write the states of each node as a table")
    return states


def _parse_states(entry: object, source: str) -> tuple[tuple[str, int], ...]:
    if not isinstance(entry, dict):
        raise LogError(f"{source}: recording.states: write the states of each node as a table")
    return tuple((str(name), _value(entry, name, int, source)) for name in entry)


def _parse_file(entry: object, source: str) -> GuestFile:
    if not isinstance(entry, dict):
        raise LogError(f"{source}: recording.file: write each file as a [[recording.file]] table")
    if not re.fullmatch("[0-9a-f]{64}", _value(entry, "sha256", str, source)):
        raise LogError(f"{source}: recording.file.sha256: not 32 bytes in hex")
    return GuestFile(
        role=_value(entry, "role", str, source),
        path=_value(entry, "path", str, source),
        size=_value(entry, "size", int, source),
        sha256=_value(entry, "sha256", str, source),
    )


_T = typing.TypeVar("_T", int, str)
_KINDS: Final[typing.Mapping[type, str]] = {int: "a number", str: "a string"}


def _value(table: dict[str, object], key: str, kind: type[_T], source: str) -> _T:
    value = table.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise LogError(f"{source}: recording {key}: missing or not {_KINDS[kind]}")
    return value


def _toml(value: int | str) -> str:
    """A TOML number or basic string; JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    """A TOML key, bare where it may be: a recording of somebody else's has what names it likes."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _toml(name)


def _guest_file(role: str, path: str) -> GuestFile:
    try:
        return GuestFile(role, path, Path(path).stat().st_size, sha256_of(Path(path)))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the {role}: {error.strerror}") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex; OSError as the host has it, and for what is no file."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_READ_BYTES))
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def _versions() -> tuple[tuple[str, str], ...]:
    return (("python", platform.python_version()), *((name, _version(name)) for name in LIBRARIES))


def _version(name: str) -> str:
    """A library's version by the name of its metadata (PyPA, Recording installed projects, `.dist-info`).

    importlib.metadata reads it out of the metadata itself, with Python's parser of mail: 15 ms of every start.
    """
    before, after = f"{name}-", ".dist-info"
    for folder in sys.path:
        for path in Path(folder).glob(f"{before}*{after}"):
            return path.name.removeprefix(before).removesuffix(after)
    return "unknown"
