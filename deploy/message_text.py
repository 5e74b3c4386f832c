"""Recorded messages as JSON and as lines of text."""

from __future__ import annotations

import json
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from deploy.reading.payload import read_payload, to_plain
from machine.codec import name_of
from machine.frame import class_of
from machine.message_base import MessageStruct
from machine.recording.format import node_name, node_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.frame import Frame
    from machine.recording.reader import Recording

SHORT_BYTES: Final = 64
"""A payload up to this size is rendered once and remembered: most of a recording's are the same few."""
REMEMBERED: Final = 1 << 14
LINE: Final = 160
"""Characters of a message that is shown beside others."""


class MessageText:
    """Renders the messages of one recording; `name` tells a node's by its number."""

    def __init__(self, name: Callable[[int], str]) -> None:
        self._name = name
        self._json_payloads: dict[tuple[int, bytes], str] = {}
        self._json_routes: dict[tuple[int, int, int], str] = {}
        self._words: dict[tuple[int, bytes], str] = {}

    def json(self, frame: Frame, host_ns: int | None = None, machine: str | None = None) -> str:
        """The JSON object of one message on one line (docs/commands.md, dump).

        `host_ns`, the host's clock when it was written down, and `machine`, the text of machine.toml, are left out
        where they are None.
        """
        route = self._json_routes.get(frame[:3])
        if route is None:
            route = self._json_routes[frame[:3]] = self._route(frame)
        key = (frame.type, frame.payload)
        payload = self._json_payloads.get(key)
        if payload is None:
            payload = _payload(frame)
            _remember(self._json_payloads, key, payload)
        time = "" if host_ns is None else f', "host_ns": {host_ns}'
        more = "" if machine is None else f', "machine": {json.dumps(machine)}'
        return f'{{"icount": {frame.icount}, "seq": {frame.seq}, {route}, {payload}{time}{more}}}'

    def row(self, frame: Frame) -> dict[str, object]:
        """The same object, not written yet."""
        return cast("dict[str, object]", json.loads(self.json(frame)))

    def line(self, frame: Frame) -> str:
        """One message as one line of text."""
        way = f"{self._name(frame.source)} > {self._name(frame.target)}"
        kind = f"{class_of(frame.type).name.lower():<7}  {name_of(frame.type):<14}"
        return f"{frame.icount:>14}  {frame.seq:>8}  {way:<20}  {kind}  {self.words(frame)}".rstrip()

    def words(self, frame: Frame) -> str:
        """What a message says: `event=data data=b'ls\\n'`."""
        key = (frame.type, frame.payload)
        words = self._words.get(key)
        if words is None:
            words = _words(read_payload(frame.type, frame.payload)[0])
            _remember(self._words, key, words)
        return words

    def _route(self, frame: Frame) -> str:
        facts = {
            "source": self._name(frame.source),
            "target": self._name(frame.target),
            "type": name_of(frame.type),
            "class": class_of(frame.type).name.lower(),
        }
        return json.dumps(facts)[1:-1]


def text_of(recording: Recording) -> MessageText:
    """The renderer for a recording's messages."""
    return MessageText(partial(node_name, node_names(recording.board)))


def shortened(line: str) -> str:
    """A message's line as people are shown it among others."""
    return line if len(line) <= LINE else f"{line[: LINE - 3]}..."


def _payload(frame: Frame) -> str:
    """The rest of the object: the payload, and its very bytes where the payload does not tell them."""
    value, exact = read_payload(frame.type, frame.payload)
    facts = {"payload": to_plain(value)}
    if not exact:
        facts["raw"] = frame.payload.hex()
    return json.dumps(facts)[1:-1]


def _remember(table: dict[tuple[int, bytes], str], key: tuple[int, bytes], text: str) -> None:
    if len(key[1]) <= SHORT_BYTES:
        if len(table) >= REMEMBERED:
            table.clear()
        table[key] = text


def _words(value: object) -> str:
    match value:
        case IntEnum():
            return value.name.lower()
        case tuple():
            return " ".join(f"({_words(item)})" for item in cast("tuple[object, ...]", value))
        case MessageStruct():
            return " ".join(f"{name}={_words(getattr(value, name))}" for name in value.__struct_fields__)
        case _:
            return repr(value)
