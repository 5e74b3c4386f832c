"""A message as JSON has it, and back: nothing is lost on the way.

A payload is the object of its message's fields.  Bytes are in hex, enumerations by name in small letters, an absent
optional field is null.  A payload that is no message of ours is a string: its bytes in hex.
"""

from __future__ import annotations

import functools
import typing
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from machine.codec import MESSAGES, decode, encode
from machine.errors import LocalWireError, RemoteWireError, UsageError
from machine.message_base import MessageStruct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.message import Message


def read_payload(message_type: int, payload: bytes) -> tuple[object, bool]:
    """The message in a payload, else the payload itself; and whether encoding it gives these very bytes again.

    Protobuf has many spellings of one message; where ours is another, the bytes must be kept beside it.
    """
    try:
        message = decode(message_type, payload)
        return message, encode(message) == payload
    except (RemoteWireError, LocalWireError):
        # The log is good, so this is what was said; it is shown as it is.
        return payload, True


def to_plain(value: object) -> object:
    """A message, or a part of one, in JSON's types."""
    match value:
        case IntEnum():
            return value.name.lower()
        case bytes():
            return value.hex()
        case tuple():
            return [to_plain(item) for item in value]
        case MessageStruct():
            return {name: to_plain(getattr(value, name)) for name in value.__struct_fields__}
        case _:
            return value


def from_plain(message_type: int, plain: object) -> bytes:
    """The payload whose message, of a known type, to_plain() has made `plain` of; UsageError names a wrong field."""
    if isinstance(plain, str):
        return from_hex(plain, "payload")
    message = typing.cast("Message", _lift_object(MESSAGES[message_type][0], plain, "payload"))
    try:
        return encode(message)
    except LocalWireError as error:
        raise UsageError(f"payload: {error}") from error


def from_hex(text: object, where: str) -> bytes:
    """Bytes that are written in hex; UsageError if they are not."""
    try:
        if isinstance(text, str):
            return bytes.fromhex(text)
    except ValueError:
        pass
    raise UsageError(f"{where}: {text!r} is not a string of hex digits, two for each byte")


def _lift(hint: Any, plain: object, where: str) -> object:  # noqa: ANN401  # a type as typing has it
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        return None if plain is None else _lift(arguments[0], plain, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(plain, list):
            raise UsageError(f"{where}: {plain!r} is not a list")
        return tuple(_lift(arguments[0], item, f"{where}[{at}]") for at, item in enumerate(plain))
    if issubclass(hint, MessageStruct):
        return _lift_object(hint, plain, where)
    if issubclass(hint, IntEnum):
        return _lift_name(hint, plain, where)
    if hint is bytes:
        return from_hex(plain, where)
    if not isinstance(plain, hint) or isinstance(plain, bool) != (hint is bool):
        raise UsageError(f"{where}: {plain!r} is not {_KINDS[hint]}")
    return plain


_KINDS: Final[Mapping[type, str]] = {int: "a whole number", bool: "true or false", str: "a string"}


def _lift_name(enum: type[IntEnum], plain: object, where: str) -> IntEnum:
    known = {member.name.lower(): member for member in enum}
    if not isinstance(plain, str) or plain not in known:
        raise UsageError(f"{where}: {plain!r} is none of {', '.join(known)}")
    return known[plain]


def _lift_object(cls: type[MessageStruct], plain: object, where: str) -> object:
    if not isinstance(plain, dict):
        raise UsageError(f"{where}: {plain!r} is not an object")
    members = _members(cls)
    for key in plain:
        if key not in members:
            raise UsageError(f"{where}.{key}: no such field; there are {', '.join(members) or 'none'}")
    for name, member in members.items():
        if name not in plain and member.required:
            raise UsageError(f"{where}.{name}: missing")
    return cls(**{key: _lift(members[key].type, value, f"{where}.{key}") for key, value in plain.items()})


@functools.cache
def _members(cls: type[MessageStruct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {member.name: member for member in msgspec.structs.fields(cls)}
