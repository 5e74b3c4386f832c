"""The platform-level interrupt controller, one supervisor context.

Source: RISC-V Platform-Level Interrupt Controller Specification 1.0, chapters 3 to 9 (memory map,
gateways, claim and completion).  Levels in, one external-interrupt bit out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from machine.bounds import U32, Long, Within
from machine.vmstate import vmstate

SOURCES: Final = 32
PRIORITY_END: Final = 4 * SOURCES
PENDING: Final = 0x1000
ENABLE: Final = 0x2000
THRESHOLD: Final = 0x20_0000
CLAIM: Final = 0x20_0004
PRIORITY_MASK: Final = 7


@vmstate("plic", 1)
@dataclass(slots=True)
class PlicState:
    """What the controller remembers; bit n of each mask belongs to source n."""

    priorities: Annotated[tuple[Annotated[int, Within(0, PRIORITY_MASK)], ...], Long(SOURCES, SOURCES)] = (0,) * SOURCES
    enabled: U32 = 0
    threshold: Annotated[int, Within(0, PRIORITY_MASK)] = 0
    levels: U32 = 0
    pending: U32 = 0
    claimed: U32 = 0


class Plic:
    """One context's view of 31 level-triggered sources."""

    def __init__(self, state: PlicState) -> None:
        self.state = state

    def set_line(self, irq: int, level: bool) -> None:
        """A source's level; the gateway latches a request until it has been claimed and completed."""
        state = self.state
        bit = 1 << irq
        if level:
            state.levels |= bit
            if not state.claimed & bit:
                state.pending |= bit
        else:
            # A request that nobody has claimed is withdrawn with its level, as on QEMU's virt board.
            state.levels &= ~bit
            state.pending &= ~bit

    def asserted(self) -> bool:
        """Whether the context's external interrupt is raised."""
        return self._best() != 0

    def read(self, offset: int) -> int:
        """A 32-bit load; reserved registers read as zero."""
        state = self.state
        if offset < PRIORITY_END:
            return state.priorities[offset // 4]
        match offset:
            case 0x1000:
                return state.pending & 0xFFFF_FFFF
            case 0x2000:
                return state.enabled
            case 0x20_0000:
                return state.threshold
            case 0x20_0004:
                return self._claim()
            case _:
                return 0

    def write(self, offset: int, value: int) -> None:
        """A 32-bit store; reserved registers take it and forget it."""
        state = self.state
        if 0 < offset < PRIORITY_END:
            priorities = list(state.priorities)
            priorities[offset // 4] = value & PRIORITY_MASK
            state.priorities = tuple(priorities)
        elif offset == ENABLE:
            state.enabled = value & 0xFFFF_FFFE
        elif offset == THRESHOLD:
            state.threshold = value & PRIORITY_MASK
        elif offset == CLAIM:
            self._complete(value)

    def _best(self) -> int:
        state = self.state
        ready = state.pending & state.enabled
        best, best_priority = 0, state.threshold
        for irq in range(1, SOURCES):
            if ready >> irq & 1 and state.priorities[irq] > best_priority:
                best, best_priority = irq, state.priorities[irq]
        return best

    def _claim(self) -> int:
        irq = self._best()
        if irq:
            self.state.pending &= ~(1 << irq)
            self.state.claimed |= 1 << irq
        return irq

    def _complete(self, irq: int) -> None:
        if not 0 < irq < SOURCES or not self.state.enabled >> irq & 1:
            return
        bit = 1 << irq
        self.state.claimed &= ~bit
        if self.state.levels & bit:
            self.state.pending |= bit
