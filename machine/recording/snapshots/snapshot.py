"""What a snapshot says, all but the bytes of guest memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from machine.recording.place import Place, Point
from machine.vmstate import vmstate

PAGE_BYTES: Final = 4096
"""The unit in which memory is kept."""


@vmstate("node-state", 1)
@dataclass(slots=True)
class NodeState:
    """The state of one node: canonical bytes (machine/vmstate.py) that only the node itself can read."""

    name: str
    state: bytes


@vmstate("snapshot", 1)
@dataclass(slots=True)
class Snapshot:
    """One cut through a run: the CPU stopped behind `icount` instructions, nothing under way."""

    recording: str
    """The id of the recording it belongs to."""
    number: int
    """1, 2, 3 ... in the order they were made."""
    icount: int
    seq: int
    """Messages of the log that have happened."""
    inputs: int
    """Inputs among them."""
    chain: bytes
    """The chain behind message `seq` (machine/recording/chain.py)."""
    place: Place
    """Where reading log.mcap may begin that comes to message `seq`."""
    memory: int
    """Bytes of guest RAM."""
    nodes: tuple[NodeState, ...]
    broker: bytes
    """Canonical bytes of the broker's state."""
    label: str
    """The name it was given, or ""."""
    at: int
    """The instruction that whoever named it stood at: at or behind `icount`, and a short way from there."""


def point_of(snapshot: Snapshot) -> Point:
    """Where in the log the run goes on from a snapshot."""
    return Point(snapshot.place, snapshot.seq, snapshot.inputs, snapshot.chain)
