"""A recording that lacks one message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter

if TYPE_CHECKING:
    from machine.frame import Frame


def without(recording: Recording, dropped: Frame) -> Recording:
    """A copy beside the recording; its messages are numbered anew."""
    path = recording.path.with_name(f"without-{dropped.seq}.dejavm")
    writer = RecordingWriter(path, recording.board, replace(recording.facts, id="22" * 16))
    for seq, frame in enumerate((frame for frame in recording.frames() if frame.seq != dropped.seq), 1):
        writer.append(frame._replace(seq=seq), 0)
    writer.finish()
    return Recording.open(path)
