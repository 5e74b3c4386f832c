"""What a replay is put to, to see whether it minds: for tests, and for telling an engine's fault from a recording's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from machine.board import RAM_BASE

if TYPE_CHECKING:
    from cpu_node.engine import Cpu
    from cpu_node.memory import GuestMemory


@dataclass(slots=True)
class Perturbation:
    """Random stops, dropped translations and TLB flushes, once in so many instructions each (0 never); one flipped bit.

    The bit is flipped at the first sync point at or behind `flip_at`: `flip_bit` counts from the start of memory.
    """

    stop: int = 0
    tb: int = 0
    tlb: int = 0
    seed: int = 1
    flip_at: int | None = None
    flip_bit: int = 0

    def begin(self, cpu: Cpu) -> None:
        """Tell the engine."""
        native = cpu.native
        native.chaos_state, native.chaos_stop, native.chaos_tb, native.chaos_tlb = (
            self.seed,
            self.stop,
            self.tb,
            self.tlb,
        )

    def flip(self, memory: GuestMemory) -> None:
        """A cosmic ray, once."""
        self.flip_at = None
        address = RAM_BASE + self.flip_bit // 8
        (value,) = memory.read(address, 1)
        memory.write(address, bytes((value ^ 1 << self.flip_bit % 8,)))
