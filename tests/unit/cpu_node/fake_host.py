"""What firmware and platform work on, written down instead of done; no test lives here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine.message import PowerOffReason


@dataclass
class FakeHost:
    """The CPU node as its firmware sees it, and the hart as well."""

    now_ns: int = 0
    ends: list[PowerOffReason] = field(default_factory=list)
    console: bytearray = field(default_factory=bytearray)
    flushes: int = 0
    memory: dict[int, bytes] = field(default_factory=dict)
    timers: list[int] = field(default_factory=list)
    interrupts: int = 0

    def power_off(self, reason: PowerOffReason) -> None:
        """The guest switches off."""
        self.ends.append(reason)

    def console_write(self, data: bytes) -> None:
        """The firmware's console."""
        self.console += data

    def flush_code(self) -> None:
        """Drop translations."""
        self.flushes += 1

    def read_memory(self, address: int, size: int) -> bytes:
        """What the test has put at exactly this address, cut or filled up with zeros."""
        return self.memory.get(address, b"")[:size].ljust(size, b"\0")

    def write_memory(self, address: int, data: bytes) -> None:
        """Keep it."""
        self.memory[address] = data

    def set_timer(self, ticks: int) -> None:
        """The hart's timer."""
        self.timers.append(ticks)

    def raise_software_interrupt(self) -> None:
        """The hart's software interrupt."""
        self.interrupts += 1
