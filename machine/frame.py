"""A frame: one message as it travels, its header open and its payload closed."""

from __future__ import annotations

from typing import NamedTuple

from machine.message import MessageClass

FIRST_INPUT_TYPE = 32
FIRST_DERIVED_TYPE = 64


class Frame(NamedTuple):
    """One message: header fields as in frame.proto, payload as the bytes that travelled.

    A named tuple and not a dataclass: several are made for every message, and these cost a third.
    """

    type: int
    source: int
    target: int
    icount: int
    payload: bytes
    seq: int = 0


def class_of(message_type: int) -> MessageClass:
    """The class a message type's number puts it in (docs/wire.md, Classes)."""
    if message_type >= FIRST_DERIVED_TYPE:
        return MessageClass.DERIVED
    if message_type >= FIRST_INPUT_TYPE:
        return MessageClass.INPUT
    return MessageClass.CONTROL
