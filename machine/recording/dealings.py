"""What has passed between a device and its backend, as a recording's log has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.codec import type_of
from machine.message import BackendResult, Done, HostInput, HostOutput
from machine.recording.reader import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.frame import Frame

_PASSED: Final = frozenset({type_of(HostInput), type_of(BackendResult), type_of(Done), type_of(HostOutput)})


def dealings(directory: Path, number: int, last: int) -> Iterator[Frame]:
    """The messages of device `number` up to message `last`, from the beginning; LogError."""
    for frame in Recording.open(directory).frames():
        if frame.seq > last:
            return
        if frame.type in _PASSED and number in (frame.source, frame.target):
            yield frame
