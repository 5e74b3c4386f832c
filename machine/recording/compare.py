"""Saying what differs between two runs: a recording and its replay, or two recordings."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from machine.codec import decode, name_of
from machine.errors import Divergence, RemoteWireError
from machine.icount import Icount, Seq, Stamp
from machine.message_base import MessageStruct

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.frame import Frame

LONGEST: Final = 160
_SHOWN_BEFORE: Final = 8
"""Equal bytes shown in front of the first that differs, where not all can be shown."""


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
    return _cut(text)


def _who(frame: Frame, name: Callable[[int], str]) -> str:
    return f"{describe(frame)} from {name(frame.source)} to {name(frame.target)} at {frame.icount}"


def _contents(expected: Frame, actual: Frame) -> tuple[str, str]:
    """The first field that differs; the bytes where none does by itself, or where they are no message."""
    try:
        left, right = decode(expected.type, expected.payload), decode(actual.type, actual.payload)
    except RemoteWireError:
        return _values("payload", expected.payload, actual.payload)
    if left == right:
        return _values("payload", expected.payload, actual.payload)
    return _values("", left, right)


def _values(where: str, left: object, right: object) -> tuple[str, str]:
    """Two different values with their place: `data=41`, `accesses[3].value=7`, `data[1000:]=00ff...`."""
    if type(left) is type(right):
        if isinstance(left, MessageStruct):
            members = ((f".{name}", getattr(left, name), getattr(right, name)) for name in left.__struct_fields__)
            more, a, b = next(row for row in members if row[1] != row[2])
            return _values((where + more).removeprefix("."), a, b)
        if isinstance(left, tuple) and isinstance(right, tuple):
            pairs = enumerate(zip_longest(left, right))
            at, (a, b) = next(row for row in pairs if row[1][0] != row[1][1])
            return _values(f"{where}[{at}]", a, b)
        if isinstance(left, bytes) and isinstance(right, bytes):
            return _bytes(where, left, right)
    # What only one side has, an optional field or one more access, is None on the other.
    return f"{where}={_word(left)}", f"{where}={_word(right)}"


def _bytes(where: str, left: bytes, right: bytes) -> tuple[str, str]:
    """Bytes from the start, or from shortly before the first that differs if that is out of sight."""
    pairs = enumerate(zip_longest(left, right))
    at = next(place for place, (a, b) in pairs if a != b)
    if at < LONGEST // 2 - _SHOWN_BEFORE:
        return f"{where}={_cut(left.hex())}", f"{where}={_cut(right.hex())}"
    start = at - _SHOWN_BEFORE
    return f"{where}[{start}:]={_cut(left[start:].hex())}", f"{where}[{start}:]={_cut(right[start:].hex())}"


def _word(value: object) -> str:
    return "nothing" if value is None else _cut(value.hex() if isinstance(value, bytes) else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
