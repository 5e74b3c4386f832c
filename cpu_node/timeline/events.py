"""The messages around a place of a recording, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.codec import decode, name_of
from machine.errors import LogError
from machine.recording.format import node_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.frame import Frame
    from machine.recording.reader import Recording

AROUND: Final = 5
LONGEST: Final = 100
"""Characters of a message's text."""


def events_near(recording: Recording, seq: int, count: int = AROUND) -> str:
    """`count` messages up to number `seq`, which has happened, and as many behind it; one a line."""
    names = node_names(recording.board)
    lines = []
    try:
        for frame in recording.frames():
            if frame.seq > seq + count:
                break
            if frame.seq > seq - count:
                lines.append(f"{'*' if frame.seq == seq else ' '} {_describe(frame, names)}\n")
    except LogError as error:
        lines.append(f"{error}\n")
    return "".join(lines)


def _describe(frame: Frame, names: Sequence[str]) -> str:
    text = repr(decode(frame.type, frame.payload))
    text = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    where = f"{names[frame.source]} > {names[frame.target]}"
    return f"{frame.seq} icount {frame.icount} {where} {name_of(frame.type)}: {text}"
