"""One recorded message as JSON and as a line of text."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, cast

from machine.codec import decode, name_of
from machine.errors import RemoteWireError
from machine.frame import class_of

if TYPE_CHECKING:
    from machine.frame import Frame


def describe(frame: Frame, names: tuple[str, ...]) -> dict[str, object]:
    """The JSON object of one message."""
    return {
        "icount": frame.icount,
        "seq": frame.seq,
        "source": node_name(names, frame.source),
        "target": node_name(names, frame.target),
        "type": name_of(frame.type),
        "class": class_of(frame.type).name.lower(),
        "payload": _payload(frame),
    }


def render(frame: Frame, names: tuple[str, ...]) -> str:
    """One message as one line of text."""
    way = f"{node_name(names, frame.source)} > {node_name(names, frame.target)}"
    kind = f"{class_of(frame.type).name.lower():<7}  {name_of(frame.type):<14}"
    return f"{frame.icount:>14}  {frame.seq:>8}  {way:<20}  {kind}  {_words(_message(frame))}".rstrip()


def node_name(names: tuple[str, ...], number: int) -> str:
    """A node's name, also if the board has none for its number."""
    return names[number] if number < len(names) else f"node{number}"


def _message(frame: Frame) -> object:
    try:
        return decode(frame.type, frame.payload)
    except RemoteWireError:
        # The log is good, so this is what was said; it is shown as it is.
        return frame.payload


def _payload(frame: Frame) -> object:
    return _plain(_message(frame))


def _plain(value: object) -> object:
    """A message as JSON has it: enums by name, bytes in hex."""
    match value:
        case IntEnum():
            return value.name.lower()
        case bytes():
            return value.hex()
        case tuple():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            return {member.name: _plain(getattr(value, member.name)) for member in fields(value)}
        case _:
            return value


def _words(value: object) -> str:
    """A message for people: `event=data data=b'ls\\n'`."""
    match value:
        case IntEnum():
            return value.name.lower()
        case tuple():
            return " ".join(f"({_words(item)})" for item in cast("tuple[object, ...]", value))
        case _ if is_dataclass(value):
            return " ".join(f"{member.name}={_words(getattr(value, member.name))}" for member in fields(value))
        case _:
            return repr(value)
