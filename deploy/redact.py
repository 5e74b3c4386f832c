"""A copy of a recording in which the bytes of some channels are gone: to show a run without its secrets.

Lives here: which fields are bytes of the guest's.  Never here: reading or writing the log itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from machine.codec import decode, encode
from machine.errors import LocalWireError, RemoteWireError, UsageError
from machine.message import Access, Digest, Done, Register
from machine.message_base import MessageStruct
from machine.recording.format import FORMAT_VERSION, node_name, node_names, topic_of
from machine.recording.trusted import trusted
from machine.recording.writer import whole_or_nothing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.errors import LogError
    from machine.frame import Frame
    from machine.recording.reader import Recording

NOTHING: Final = b"\0"


def redact(recording: Recording, channels: Sequence[str], target: Path, damage: list[LogError] | None = None) -> int:
    """Write the copy; how many messages were blanked.

    A channel is a topic as `info` prints it, `serial0/host_output>broker`, or a node's name for all that it says
    and hears.  A damaged recording is copied to its last good message, and why no further is put into `damage`.
    UsageError names a channel that the recording does not have; LogError if the host refuses a write, and nothing is
    left then.
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
    count = 0
    with whole_or_nothing(target, recording.board, facts) as writer:
        for frame in trusted(recording.frames(), damage):
            nodes = {node_name(names, frame.source), node_name(names, frame.target)}
            keys = {topic_of(names, frame.source, frame.target, frame.type), *nodes}
            hit = not keys.isdisjoint(channels)
            count += hit
            # The host's times go too: how fast somebody types says something about what.
            writer.append(blanked(frame) if hit else frame, 0)
        writer.finish()
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
    if isinstance(message, (Access, Done, Register)):
        changes["value"] = 0
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, bytes):
            changes[name] = NOTHING * len(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], MessageStruct):
            changes[name] = tuple(_blank(part) for part in value)
    return msgspec.structs.replace(message, **changes)
