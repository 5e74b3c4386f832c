"""What went between devices and the outside: bytes that were delivered, and bytes that the outside took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from machine.codec import decode, type_of
from machine.errors import RemoteWireError
from machine.message import BackendResult, HostEvent, HostInput, HostOutput
from machine.recording.summary import SYNC_POINT, idle_ns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from machine.clock import VirtualClock
    from machine.frame import Frame
    from machine.message import Message

READ: Final = frozenset(type_of(cls) for cls in (BackendResult, HostInput, HostOutput))


class Passed(NamedTuple):
    """Bytes that have crossed between a device and its backend, with the virtual time in nanoseconds.

    `inbound` is towards the guest.
    """

    node: int
    time_ns: int
    icount: int
    data: bytes
    inbound: bool


def passed(frames: Iterable[Frame], clock: VirtualClock) -> Iterator[Passed]:
    """All of a recording's, in order: inputs where they were delivered, output as far as its backend took it.

    `clock` is the recording's, in front of the first message.
    """
    offered: dict[int, bytes] = {}
    for frame in frames:
        if frame.type == SYNC_POINT:
            clock.idle_ns += idle_ns_of(frame)
        if frame.type not in READ:
            continue
        match _message(frame):
            case HostInput(HostEvent.DATA, data):
                yield Passed(frame.target, clock.at(frame.icount), frame.icount, data, True)
            case HostOutput(data):
                offered[frame.source] = data
            case BackendResult(accepted):
                taken = offered.pop(frame.source, b"")[:accepted]
                if taken:
                    yield Passed(frame.source, clock.at(frame.icount), frame.icount, taken, False)
            case _:
                pass


def _message(frame: Frame) -> Message | None:
    try:
        return decode(frame.type, frame.payload)
    except RemoteWireError:
        # What is no message has brought nothing and taken nothing.
        return None
