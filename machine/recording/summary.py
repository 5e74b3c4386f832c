"""What a whole recording comes to, counted in one pass over its messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.codec import decode, name_of, type_of
from machine.errors import CorruptRecord, RemoteWireError, TruncatedLog
from machine.frame import Frame, class_of
from machine.message import End, MessageClass, SyncPoint
from machine.recording.chain import chain_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.clock import VirtualClock
    from machine.recording.facts import Facts

SYNC_POINT: Final = type_of(SyncPoint)
_END: Final = type_of(End)


@dataclass(frozen=True, slots=True)
class ChannelCount:
    """How many messages of one type one node has sent another, and the bytes of their payloads."""

    source: int
    target: int
    type: str
    messages: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recording comes to.

    `instructions` is the icount of the last good message, `virtual_ns` the virtual time there, `idle_ns` what the
    guest slept of it, `digest` the chain up to it; `ended` says whether it is End; `damage` is one line, or "" for a
    log without any.  In a branch or a cut `messages` and `inputs` are its own, all else is of the whole run.
    """

    instructions: int
    virtual_ns: int
    idle_ns: int
    messages: int
    inputs: int
    digest: bytes
    ended: bool
    damage: str
    channels: tuple[ChannelCount, ...]


def summarise(frames: Iterator[Frame], facts: Facts, clock: VirtualClock) -> Summary:
    """Count what is good of a log, with virtual time from `clock` on; damage ends the count and is told, not raised."""
    start = facts.beginning
    chain = chain_of(facts.format, start.chain)
    counts: Counter[tuple[int, int, int]] = Counter()
    sizes: Counter[tuple[int, int, int]] = Counter()
    last: Frame | None = None
    damage = ""
    try:
        for last in frames:
            key = (last.source, last.target, last.type)
            chain.add(last)
            counts[key] += 1
            sizes[key] += len(last.payload)
            if last.type == SYNC_POINT:
                clock.idle_ns += idle_ns_of(last)
    except (TruncatedLog, CorruptRecord) as error:
        damage = str(error)
    icount = last.icount if last else start.place.icount
    return Summary(
        instructions=icount,
        virtual_ns=clock.at(icount),
        idle_ns=clock.idle_ns,
        messages=counts.total(),
        inputs=sum(n for key, n in counts.items() if class_of(key[2]) is MessageClass.INPUT),
        digest=chain.digest(),
        ended=last is not None and last.type == _END,
        damage=damage,
        channels=tuple(ChannelCount(*key[:2], name_of(key[2]), counts[key], sizes[key]) for key in sorted(counts)),
    )


def idle_ns_of(frame: Frame) -> int:
    """The virtual time, in nanoseconds, that passes at a sync point; 0 for a message that is none."""
    try:
        message = decode(frame.type, frame.payload)
    except RemoteWireError:
        # The log is good: this is what was said, and nobody could have slept by it.
        return 0
    return message.idle_ns if isinstance(message, SyncPoint) else 0


def slept_up_to(frames: Iterator[Frame], seq: int, clock: VirtualClock) -> int:
    """Virtual time, in nanoseconds, that the guest has slept up to message `seq`; `clock` stands before the first."""
    for frame in frames:
        if frame.seq > seq:
            break
        if frame.type == SYNC_POINT:
            clock.idle_ns += idle_ns_of(frame)
    return clock.idle_ns
