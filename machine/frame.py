"""A frame: one message as it travels, its header open and its payload closed."""

from __future__ import annotations

from dataclasses import dataclass

from machine.message import MessageClass

FIRST_INPUT_TYPE = 32
FIRST_DERIVED_TYPE = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: header fields as in frame.proto, payload as the bytes that travelled."""

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
