"""A copy of a recording in which the bytes of some channels are gone: to show a run without its secrets.

Lives here: which fields are bytes of the guest's.  Never here: reading or writing the log itself.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from deploy.reading.trusted import trusted
from machine.codec import decode, encode
from machine.errors import LocalWireError, RemoteWireError, UsageError
from machine.message import Access, Digest, Done
from machine.message_base import MessageStruct
from machine.recording.format import FORMAT_VERSION, node_name, node_names, topic_of
from machine.recording.writer import RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.frame import Frame
    from machine.recording.reader import Recording

NOTHING: Final = b"\0"


def redact(recording: Recording, channels: Sequence[str], target: Path) -> int:
    """Write the copy; how many messages were blanked.

    A channel is a topic as `info` prints it, `serial0/host_output>broker`, or a node's name for all that it says
    and hears.  What a damaged recording says behind its last good message is left out.  UsageError names a channel that
    the recording does not have; LogError if the host refuses a write, and nothing is left then.
    """
    names = node_names(recording.board)
    topics = {
        f"{node_name(names, row.source)}/{row.type}>{node_name(names, row.target)}"
        for row in recording.summary().channels
    }
    for channel in channels:
        if channel not in topics and channel not in names[1:]:
            raise UsageError(f"{recording.path}: no channel or node {channel!r}; `dejavm info` lists them")
    facts = replace(recording.facts, format=FORMAT_VERSION, redacted=(*recording.facts.redacted, *channels))
    writer = RecordingWriter(target, recording.board, facts)
    count = 0
    try:
        for frame in trusted(recording.frames(), []):
            nodes = {node_name(names, frame.source), node_name(names, frame.target)}
            keys = {topic_of(names, frame.source, frame.target, frame.type), *nodes}
            hit = not keys.isdisjoint(channels)
            count += hit
            # The host's times go too: how fast somebody types says something about what.
            writer.append(blanked(frame) if hit else frame, 0)
        writer.finish()
    except BaseException:
        writer.abandon()
        shutil.rmtree(target, ignore_errors=True)
        raise
    return count


def blanked(frame: Frame) -> Frame:
    """The message with its bytes and register values gone; lengths, counts and stamps stay.

    Of a payload that is no message nobody knows what is in it: all of its bytes go.
    """
    try:
        payload = encode(_blank(decode(frame.type, frame.payload)))
    except (RemoteWireError, LocalWireError):
        payload = NOTHING * len(frame.payload)
    return frame._replace(payload=payload)


def _blank(message: Any) -> Any:  # noqa: ANN401  # any message, or a part of one
    if isinstance(message, Digest):
        return message
    changes: dict[str, Any] = {}
    if isinstance(message, (Access, Done)):
        changes["value"] = 0
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, bytes):
            changes[name] = NOTHING * len(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], MessageStruct):
            changes[name] = tuple(_blank(part) for part in value)
    return msgspec.structs.replace(message, **changes)
