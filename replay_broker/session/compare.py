"""Saying what differs between what was recorded and what a replay did."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from machine.codec import decode, name_of
from machine.errors import Divergence, RemoteWireError
from machine.icount import Icount, Seq, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.frame import Frame

LONGEST: Final = 160


def same(expected: Frame, actual: Frame) -> bool:
    """Whether a re-created message is the recorded one, byte for byte."""
    return (
        expected.payload == actual.payload
        and expected.icount == actual.icount
        and expected.type == actual.type
        and expected.source == actual.source
        and expected.target == actual.target
    )


def divergence(expected: Frame | None, actual: Frame, name: Callable[[int], str]) -> Divergence:
    """The first difference, in the user's words; `expected` is None behind the recording's last message."""
    if expected is None:
        stamp = Stamp(Icount(actual.icount), Seq(0))
        return Divergence(stamp, name(actual.source), name_of(actual.type), "nothing more", describe(actual))
    stamp = Stamp(Icount(expected.icount), Seq(expected.seq))
    kind = name_of(expected.type)
    if (expected.source, expected.target, expected.type) != (actual.source, actual.target, actual.type):
        return Divergence(stamp, name(expected.source), kind, _who(expected, name), _who(actual, name))
    if expected.icount != actual.icount:
        return Divergence(stamp, name(expected.source), kind, f"at {expected.icount}", f"at {actual.icount}")
    return Divergence(stamp, name(expected.source), kind, *_contents(expected, actual))


def silence(expected: Frame, actually: str, name: Callable[[int], str]) -> Divergence:
    """A recorded message did not come; `actually` says what did."""
    stamp = Stamp(Icount(expected.icount), Seq(expected.seq))
    return Divergence(stamp, name(expected.source), name_of(expected.type), describe(expected), actually)


def describe(frame: Frame) -> str:
    """A message in one short line."""
    try:
        text = repr(decode(frame.type, frame.payload))
    except RemoteWireError:
        text = f"{name_of(frame.type)} {frame.payload.hex()}"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _who(frame: Frame, name: Callable[[int], str]) -> str:
    return f"{describe(frame)} from {name(frame.source)} to {name(frame.target)} at {frame.icount}"


def _contents(expected: Frame, actual: Frame) -> tuple[str, str]:
    """The first field that differs; the whole messages where none does by itself."""
    try:
        left, right = decode(expected.type, expected.payload), decode(actual.type, actual.payload)
    except RemoteWireError:
        return describe(expected), describe(actual)
    for member in fields(left):
        a, b = getattr(left, member.name), getattr(right, member.name)
        if a != b:
            return f"{member.name}={_short(a)}", f"{member.name}={_short(b)}"
    return f"bytes {expected.payload.hex()}", f"bytes {actual.payload.hex()}"


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
