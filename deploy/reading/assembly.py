"""A recording made of what `dejavm dump --json` has printed: the same messages, stamps and bytes.

Lives here: rows of JSON to messages, each field checked.  Never here: where the rows come from.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from deploy.reading.payload import from_hex, from_plain
from machine.codec import MAX_PAYLOAD_BYTES, MESSAGES, name_of
from machine.errors import UsageError
from machine.frame import FIRST_INPUT_TYPE, Frame, class_of
from machine.recording.carrying import carry_files
from machine.recording.chain import Chain
from machine.recording.format import FORMAT_VERSION, HIGHEST_NODE, node_name, node_names
from machine.recording.layout import DIRECTORY_MODE, SNAPSHOTS_NAME
from machine.recording.reader import parse_machine
from machine.recording.snapshots.store import SnapshotStore
from machine.recording.writer import whole_or_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from machine.board import Board
    from machine.recording.facts import Facts
    from machine.recording.writer import RecordingWriter

HIGHEST_COUNT: Final = (1 << 64) - 1
SHORT: Final = 256
"""Characters of a payload that is read once and remembered: most of a dump's are the same few."""
REMEMBERED: Final = 1 << 14
_NUMBERED: Final = re.compile(r"(?:node|#)(\d+)")

Target = Callable[["Board"], "Path"]
"""Tells where the recording of a board goes."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """What has been made: where, how many messages, up to which icount, the digest of the chain."""

    path: Path
    messages: int
    instructions: int
    digest: bytes


def assemble(lines: Iterable[str], target: Target, machine: str | None = None, origin: Path | None = None) -> Assembled:
    """Write the recording whose dump `lines` are; `machine` takes the place of the machine.toml that came with it.

    What begins at a snapshot gets it from `origin`, the recording that has been dumped, and the guest's files if it has
    them in it: no message has them.

    UsageError names the line and the field that is wrong; nothing is left behind then.
    """
    rows = _rows(lines)
    first = next(rows, None)
    brought = first[1].get("machine") if first is not None else None
    text = machine if machine is not None else brought
    if not isinstance(text, str):
        raise UsageError("the dump does not bring its machine with it; dump without filters, or name it with --machine")
    board, facts = parse_machine(text, "machine")
    if facts.snapshot and origin is None:
        raise UsageError(
            f"this is the dump of a {'cut' if facts.parent is None else 'branch'}, whose beginning is no message but a "
            "snapshot: name the recording that it is the dump of with --machine"
        )
    begins_with = SnapshotStore(origin, facts.id).files(facts.snapshot) if facts.snapshot and origin is not None else ()
    # What is written is of the newest format, whatever was read.
    facts = replace(facts, format=FORMAT_VERSION)
    path = target(board)
    with whole_or_nothing(path, board, facts) as writer:
        for file in begins_with:
            (path / SNAPSHOTS_NAME).mkdir(DIRECTORY_MODE, exist_ok=True)
            shutil.copy2(file, path / SNAPSHOTS_NAME)
        if origin is not None:
            carry_files(facts.files, origin, path)
        return _write(writer, path, board, rows if first is None else _again(first, rows), facts)


def _write(
    writer: RecordingWriter, path: Path, board: Board, rows: Iterator[tuple[str, Mapping[str, object]]], facts: Facts
) -> Assembled:
    reader = _RowReader(node_names(board))
    chain = Chain(facts.beginning.chain)
    icount = host_ns = 0
    seq = facts.beginning.seq
    for where, row in rows:
        try:
            frame = reader.frame(row, seq + 1)
            host_ns = _number(row.get("host_ns", host_ns), "host_ns")
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        writer.append(frame, host_ns)
        chain.add(frame)
        icount, seq = frame.icount, frame.seq
    writer.finish()
    return Assembled(path, seq, icount, chain.digest())


class _RowReader:
    """Rows to frames; remembers the payloads and channels it has read lately."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._nodes = {name: number for number, name in enumerate(names)}
        self._types = {name_of(number): number for number in MESSAGES}
        self._channels: dict[tuple[object, object, object, object], tuple[int, int, int]] = {}
        self._payloads: dict[tuple[int, str], bytes] = {}

    def frame(self, row: Mapping[str, object], seq: int) -> Frame:
        """The message of a row, which must be number `seq`; UsageError names the field that is wrong."""
        if row.get("seq") != seq:
            raise UsageError(f"seq: message {row.get('seq')} where {seq} belongs; dump without filters")
        key = (row.get("type"), row.get("source"), row.get("target"), row.get("class"))
        if not all(isinstance(part, str | None) for part in key):
            raise UsageError("type, source, target and class are strings")
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = self._channel(row)
        payload = from_hex(row["raw"], "raw") if "raw" in row else self._payload(channel[0], row.get("payload"))
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise UsageError(f"payload: {len(payload)} bytes are more than the {MAX_PAYLOAD_BYTES} that are possible")
        return Frame(*channel, _number(row.get("icount"), "icount"), payload, seq)

    def _payload(self, message_type: int, plain: object) -> bytes:
        key = (message_type, repr(plain))
        payload = self._payloads.get(key)
        if payload is None:
            payload = from_plain(message_type, plain)
            if len(key[1]) <= SHORT:
                if len(self._payloads) >= REMEMBERED:
                    self._payloads.clear()
                self._payloads[key] = payload
        return payload

    def _channel(self, row: Mapping[str, object]) -> tuple[int, int, int]:
        number = self._type(row.get("type"))
        expected = class_of(number).name.lower()
        if row.get("class", expected) != expected:
            raise UsageError(f"class: messages of type {row['type']} are {expected}")
        return number, self._node(row.get("source"), "source"), self._node(row.get("target"), "target")

    def _type(self, name: object) -> int:
        number = self._types.get(name) if isinstance(name, str) else None
        # A log defines its messages, so one that is not known here cannot be written.
        if number is None or number < FIRST_INPUT_TYPE:
            raise UsageError(f"type: {name!r} is no message that is ever recorded")
        return number

    def _node(self, name: object, where: str) -> int:
        number = self._nodes.get(name) if isinstance(name, str) else None
        if number is None and isinstance(name, str) and (match := _NUMBERED.fullmatch(name)):
            number = int(match[1])
            if number > HIGHEST_NODE or node_name(self._names, number) != name:
                number = None
        if number is None:
            raise UsageError(f"{where}: {name!r} is no node of this machine: {', '.join(self._names)}")
        return number


def _rows(lines: Iterable[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The objects on the lines, each with its place for errors; empty lines are passed over."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(f"line {number}: not an object; `dejavm dump --json` prints one a line")
        yield f"line {number}", row


def _again(
    first: tuple[str, Mapping[str, object]], rows: Iterator[tuple[str, Mapping[str, object]]]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    yield first
    yield from rows


def _number(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= HIGHEST_COUNT:
        raise UsageError(f"{where}: {value!r} is not a whole number from 0 to 2^64 - 1")
    return value
