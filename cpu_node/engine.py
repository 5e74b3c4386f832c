"""The guest CPU: Unicorn with guest memory behind it and the native counter in front of it.

Lives here: creating the engine, dropping translations, the shapes of the native part for Python.
docs/DETERMINISM.md says which of the engine's habits each line guards against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cpu_node import _engine
from machine.board import PAGE_BYTES, RAM_BASE

if TYPE_CHECKING:
    from cpu_node.arch.spec import ArchSpec
    from cpu_node.memory import GuestMemory
    from machine.board import Board

NEVER: Final = (1 << 64) - 1
POSTED_DISTANCE: Final = 100_000
"""Gathered stores are told to their device at the first sync point this many instructions after the first."""
POLL_EVERY: Final = 100_000
"""Instructions between two looks at the descriptor that asks for a stop: about half a millisecond."""
TRANSLATION_BYTES: Final = 96 << 20
HALF: Final = 1 << 63
"""Half of the address space."""

Access = Callable[[int, int, int, int, int], int]
"""on_access(window, kind, offset, size, value): kind as AccessKind, 0 to tell what was gathered."""


class Cpu:
    """One guest CPU.  `native` holds the counter and the run loop."""

    def __init__(self, board: Board, arch: ArchSpec, memory: GuestMemory, on_access: Access) -> None:
        self._memory = memory
        self._put = arch.debugging.put
        self.core = _engine.Core(arch.name, TRANSLATION_BYTES)
        self.core.map_memory(RAM_BASE, memory.size, memory.host_address)
        self.native = _engine.Engine(
            core=self.core,
            on_access=on_access,
            shift=board.shift,
            posted_distance=POSTED_DISTANCE,
            poll_every=POLL_EVERY,
            ram=memory.host_address,
            ram_base=RAM_BASE,
            ram_size=memory.size,
        )
        self.platform = arch.create(self.core, board)
        self.windows = self._map_windows(board)

    def _map_windows(self, board: Board) -> tuple[tuple[str, int, int], ...]:
        """Every register window, and holes between them, so that an access to nothing is a fault of the guest."""
        windows = [*self.platform.windows, *((s.name, s.address, s.size) for s in board.devices)]
        taken = []
        for _, address, size in windows:
            self.native.add_window(address, size)
            taken.append((address, -(-size // PAGE_BYTES) * PAGE_BYTES))
        taken.append((RAM_BASE, self._memory.size))
        free = 0
        for address, size in sorted(taken):
            if address > free:
                self.native.add_hole(free, address - free)
            free = address + size
        # Untranslated addresses have 64 bits; no region can have a size of that many.
        self.native.add_hole(free, HALF - free)
        self.native.add_hole(HALF, HALF)
        return tuple(windows)

    def put_register(self, name: str, value: int) -> bool:
        """Change a register from outside, by gdb's name; False if it cannot be."""
        return self._put(self.core, name, value)

    def store(self, address: int, data: bytes) -> None:
        """Write guest memory from outside the CPU: the engine does not notice such writes by itself."""
        start, size = self._memory.write(address, data)
        if size:
            self.platform.drop_code_at(start, size)
