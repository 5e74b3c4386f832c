"""What a snapshot says, all but the bytes of guest memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from machine.bounds import U64, Count, Long, Within
from machine.recording.place import Place, Point
from machine.vmstate import kept, vmstate

PAGE_BYTES: Final = 4096
"""The unit in which memory is kept."""
NS_PER_S: Final = 10**9
NS_PER_MS: Final = 10**6


@vmstate("node-state", 1)
@dataclass(slots=True)
class NodeState:
    """The state of one node: canonical bytes (machine/vmstate.py) that only the node itself can read."""

    name: str
    state: bytes


@vmstate("snapshot", 1)
@dataclass(slots=True)
class Snapshot1:
    """What version 1 said: as `Snapshot`, but neither when it was made nor in front of what."""

    recording: str
    number: Count
    icount: U64
    seq: Count
    inputs: Count
    chain: Annotated[bytes, Long(32, 32)]
    place: Place
    memory: Annotated[int, Within(1)]
    nodes: tuple[NodeState, ...]
    broker: bytes
    label: str
    at: U64


def _lift1(old: Snapshot1) -> Snapshot2:
    return Snapshot2(**kept(old), made_ns=0, front=False)


@vmstate("snapshot", 2, before=(Snapshot1, _lift1))
@dataclass(slots=True)
class Snapshot2(Snapshot1):
    """What version 2 said: as `Snapshot`, but not at which virtual time."""

    made_ns: Count
    front: bool


def _lift2(old: Snapshot2) -> Snapshot3:
    return Snapshot3(**kept(old), at_ns=0)


@vmstate("snapshot", 3, before=(Snapshot2, _lift2))
@dataclass(slots=True)
class Snapshot3(Snapshot2):
    """What version 3 said: as `Snapshot`, but not how much work a replay has up to it."""

    at_ns: Count


def _lift3(old: Snapshot3) -> Snapshot:
    return Snapshot(**kept(old), work_ns=0)


@vmstate("snapshot", 4, before=(Snapshot3, _lift3))
@dataclass(slots=True)
class Snapshot:
    """One cut through a run: the CPU stopped behind `icount` instructions, nothing under way."""

    recording: str
    """The id of the recording it belongs to."""
    number: Count
    """1, 2, 3 ... in the order they were made."""
    icount: U64
    seq: Count
    """Messages of the log that have happened."""
    inputs: Count
    """Inputs among them."""
    chain: Annotated[bytes, Long(32, 32)]
    """The chain behind message `seq` (machine/recording/chain.py)."""
    place: Place
    """Where reading log.mcap may begin that comes to message `seq`."""
    memory: Annotated[int, Within(1)]
    """Bytes of guest RAM."""
    nodes: tuple[NodeState, ...]
    broker: bytes
    """Canonical bytes of the broker's state."""
    label: str
    """The name it was given, or ""."""
    at: U64
    """The instruction that whoever named it stood at: behind `icount`, and a short way from there; or in front of it,
    where nothing before it could be kept."""
    made_ns: Count
    """The host's Unix time when it was made, in nanoseconds; 0 where nobody knows.  No run depends on it."""
    front: bool
    """Nothing had been dealt with at `icount`; a guest that sleeps there may have been woken several times."""
    at_ns: Count
    """The virtual time at instruction `at`, in nanoseconds; 0 where nobody knows."""
    work_ns: Count
    """The processor time that a replay from the recording's beginning has taken to come here, in nanoseconds; 0 where
    nobody has measured it.  No run depends on it."""


def point_of(snapshot: Snapshot) -> Point:
    """Where in the log the run goes on from a snapshot."""
    return Point(snapshot.place, snapshot.seq, snapshot.inputs, snapshot.chain)


def date_text(made_ns: int) -> str:
    """When a snapshot was made, for people, in this host's time zone; "" where nobody knows."""
    try:
        return f"{datetime.fromtimestamp(made_ns // NS_PER_S):%Y-%m-%d %H:%M:%S}" if made_ns else ""  # noqa: DTZ006  # local
    except (ValueError, OverflowError, OSError):
        # In no year that has a name.
        return ""


def clock_text(virtual_ns: int) -> str:
    """A virtual time for people, as QEMU shows it: hours, minutes, seconds and thousandths."""
    seconds, ms = divmod(virtual_ns // NS_PER_MS, 1000)
    return f"{seconds // 3600:04}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
