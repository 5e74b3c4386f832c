"""What a node on another host needs before it can be put into a state: told in parts, in front of Load.

A node of this host reads the recording itself.  To a CPU elsewhere the memory of the snapshot is told, to a device
elsewhere its messages of the log, which its backend is to remember (docs/faults.md, The broker).

Lives here: how much is under way.  Never here: how a part is packed (machine/parts.py).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from machine.errors import RemoteWireError
from machine.icount import CPU
from machine.message import Load
from machine.message_state import MOST_UNTAKEN
from machine.parts import parts_of_frames, parts_of_memory
from machine.recording.dealings import dealings
from machine.recording.reader import Recording
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from machine.message import Message, SavedPages
    from replay_broker.roster import Member


class Supplies:
    """Of all nodes that come from other hosts than `host`; `tell` says something to whoever is behind an identity."""

    def __init__(self, host: str, tell: Callable[[bytes, Message], None]) -> None:
        self._host = host
        self._tell = tell
        self._under_way: dict[str, _Supply] = {}
        """By name: of a node's newest process only."""

    def load(self, member: Member, load: Load, past: tuple[str, int]) -> None:
        """Put a node into a state, wherever it is.  LogError, StateError if the recording does not have it.

        `past`: the recording whose messages a device's backend remembers, up to which; ("", 0) for none.
        """
        assert member.identity is not None
        if member.host in ("", self._host):
            self._tell(member.identity, load)
            return
        parts: Iterator[SavedPages]
        if member.number != CPU:
            recording, last = past
            frames = dealings(Path(recording), member.number, last) if last else ()
            parts = parts_of_frames(frames)
        else:
            parts = _memory_of(load) if load.recording else iter(())
        self._under_way[member.name] = supply = _Supply(member.identity, parts, Load(load.state, "", load.number))
        self._go_on(supply, MOST_UNTAKEN)

    def taken(self, member: Member) -> None:
        """A part has been put away."""
        supply = self._under_way.get(member.name)
        if supply is None or supply.identity != member.identity:
            raise RemoteWireError(f"{member.name} has taken what it was not given")
        self._go_on(supply, 1)

    def _go_on(self, supply: _Supply, room: int) -> None:
        told = 0
        for part in islice(supply.parts, room):
            self._tell(supply.identity, part)
            told += 1
        if told < room and not supply.over:
            supply.parts, supply.over = iter(()), True
            self._tell(supply.identity, supply.load)


@dataclass(slots=True)
class _Supply:
    """What one process is being told, and what it is to become behind that."""

    identity: bytes
    parts: Iterator[SavedPages]
    load: Load
    over: bool = False
    """No part is left; those under way are still to be taken."""


def _memory_of(load: Load) -> Iterator[SavedPages]:
    """The memory of a snapshot."""
    recording = Recording.open(Path(load.recording))
    store = SnapshotStore(recording.path, recording.facts.id)
    size = store.read(load.number).memory
    memory = memoryview(mmap.mmap(-1, size))
    store.load_memory(load.number, memory)
    yield from parts_of_memory(memory)
