"""Saving and loading the CPU's process: its state as messages carry it, its memory by snapshots and copies.

Lives here: what Save and Load mean to the CPU.  Never here: when (cpu_node/loop.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cpu_node import state as states
from cpu_node.loader import load_guest
from cpu_node.staging import Staging
from cpu_node.state import LoopState, NodeState
from machine import vmstate
from machine.errors import NoRoom
from machine.message import Load, Saved

if TYPE_CHECKING:
    from cpu_node.arch.spec import ArchSpec
    from cpu_node.bus import Bus
    from cpu_node.engine import Cpu
    from cpu_node.memory import GuestMemory
    from machine.board import Board
    from machine.message import SavedPages


class Keeper:
    """One CPU and its memory, put away and brought back."""

    def __init__(
        self,
        board: Board,
        arch: ArchSpec,
        cpu: Cpu,
        bus: Bus,
        memory: GuestMemory,
        first_digest: int,
        staging: Staging | None = None,
    ) -> None:
        self._board = board
        self._arch = arch
        self._cpu = cpu
        self._bus = bus
        self._memory = memory
        self._staging = staging or Staging(memory)
        self._told = False
        """Memory is there already."""
        # Nothing has been loaded and nothing has run: what every load begins from.
        self._blank = states.save(cpu, bus, LoopState(next_digest=first_digest))

    def power_on(self) -> None:
        """Load the guest into memory that is all zero, and stand in front of its first instruction."""
        loaded = load_guest(self._board, self._arch, self._memory)
        self._cpu.platform.enter(loaded.entry, loaded.device_tree)

    def reset(self) -> None:
        """Power-on again, but time goes on, and whoever drives an interrupt line still does."""
        native, platform = self._cpu.native, self._cpu.platform
        raised = platform.raised()
        self._staging.end()
        self._memory.clear()
        # What fcsr holds behind a reset no architecture says; it has always stayed, and recordings have it so.
        now = replace(self._blank, icount=native.icount, idle_ns=native.idle_ns, float_flags=platform.float_flags())
        states.load(self._cpu, self._bus, now)
        for irq in raised:
            platform.set_line(irq, level=True)
        self.power_on()

    def save(self, loop: LoopState, *, whole: bool = False) -> Saved:
        """The state, and the memory that has changed since the last time, or the `whole`, in a copy of its own.

        Where the host has no room for that, why; the next one is whole.
        """
        self._staging.whole = whole = whole or self._staging.whole
        try:
            granules = self._staging.take()
        except NoRoom as error:
            self._staging.whole = True
            return Saved(b"", refused=str(error))
        state = vmstate.encode(states.save(self._cpu, self._bus, loop))
        return Saved(state, self._staging.path, self._staging.granule, granules, whole)

    def put(self, part: SavedPages) -> None:
        """A part of memory that a broker on another host tells in front of Load; RemoteWireError if it is none."""
        # Imported here: most machines are on one host.
        from machine.parts import unpack_part  # noqa: PLC0415

        view = self._memory.view
        data = unpack_part(part, len(view))
        view[part.offset : part.offset + len(data)] = data
        self._told = True

    def load(self, message: Load) -> LoopState:
        """Become what a message says; StateError, LogError if that is not to be had."""
        self._staging.end()
        told, self._told = self._told, False
        if not told:
            self._memory.clear()
        if not message.state:
            states.load(self._cpu, self._bus, self._blank)
            self.power_on()
            return self._blank.loop
        if message.recording:
            # Imported here: most machines never load a state.
            from machine.recording.reader import Recording  # noqa: PLC0415
            from machine.recording.snapshots.store import SnapshotStore  # noqa: PLC0415

            recording = Recording.open(Path(message.recording))
            store = SnapshotStore(recording.path, recording.facts.id)
            store.load_memory(message.number, self._memory.view)
        state = vmstate.decode(NodeState, message.state)
        states.load(self._cpu, self._bus, state)
        self._staging.begin()
        return state.loop
