"""What a snapshot says, all but the bytes of guest memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from machine.vmstate import vmstate

PAGE_BYTES: Final = 4096
"""The unit in which memory is kept."""


@vmstate("place", 1)
@dataclass(slots=True)
class Place:
    """Where in log.mcap reading may start: in front of a chunk, with what a reader has learned up to there."""

    offset: int
    """The byte at which the chunk's record begins."""
    seq: int
    icount: int
    chain: bytes
    """These three as they are behind the last message before the chunk."""
    channels: tuple[tuple[int, int, int, int], ...]
    """Channel id, source, target, type of each channel known before the chunk."""
    schemas: tuple[tuple[int, int], ...]
    """Schema id and type of each schema known before the chunk."""


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
    memory: int
    """Bytes of guest RAM."""
    nodes: tuple[NodeState, ...]
    broker: bytes
    """Canonical bytes of the broker's state."""
    label: str
    """The name it was given, or ""."""
