"""A serial line as a terminal session: asciicast version 2, what the guest wrote and what was typed.

A header on the first line, then one event a line: [seconds, "o" or "i", text] (asciinema's asciicast v2 format).
Seconds are virtual time: a replay of the session is as fast as the guest has found itself.
"""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from deploy.export.passed import passed
from deploy.export.table import Choice, chosen_devices
from machine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from machine.frame import Frame
    from machine.recording.reader import Recording

KIND: Final = "serial"
COLUMNS: Final = 80
ROWS: Final = 24
"""What a guest takes a serial line's terminal for if nobody tells it otherwise."""


def export(recording: Recording, frames: Iterable[Frame], choice: Choice) -> Iterator[bytes]:
    """One serial line's session; UsageError if there is none, or more than one to choose from."""
    lines = chosen_devices(recording, KIND, choice.node)
    if len(lines) > 1:
        raise UsageError(f"a session has one terminal: choose with --node from {', '.join(n for _, n in lines)}")
    return _lines(recording, frames, *lines[0])


def _lines(recording: Recording, frames: Iterable[Frame], number: int, name: str) -> Iterator[bytes]:
    yield _line(_header(recording, name))
    decoders = {inbound: codecs.getincrementaldecoder("utf-8")(errors="replace") for inbound in (False, True)}
    seconds = 0.0
    for row in passed(frames, recording.clock()):
        if row.node == number:
            seconds = row.time_ns / 1e9
            if text := decoders[row.inbound].decode(row.data):
                yield _line([seconds, "i" if row.inbound else "o", text])
    for inbound, decoder in decoders.items():
        # Half a character at the very end is one that nobody can read.
        if text := decoder.decode(b"", final=True):
            yield _line([seconds, "i" if inbound else "o", text])


def _header(recording: Recording, name: str) -> dict[str, object]:
    title = f"{recording.board.name} {name}"
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": title, "env": {"TERM": "vt220"}}
    # Somebody else's recording may have no date that is one; a session needs none.
    with suppress(ValueError):
        header["timestamp"] = int(datetime.fromisoformat(recording.facts.created).timestamp())
    return header


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
