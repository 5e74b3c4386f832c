"""The CPU node's parts in the test's own process, without a broker: a closed guest with the simplest serial line."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cpu_node.arch import ARCHES
from cpu_node.bus import Bus
from cpu_node.engine import Cpu
from cpu_node.link import Link
from cpu_node.loader import load_guest
from cpu_node.loop import Loop
from cpu_node.memory import GuestMemory
from machine.board import parse_board
from machine.clock import VirtualClock
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.message import AccessKind, Done, Grant, Message, MmioAccess, PowerOff, Sync, SyncPoint
from tests.harness.guests import BARE

if TYPE_CHECKING:
    from pathlib import Path

LSR: Final = 5
TRANSMITTER_EMPTY: Final = 0x60


class Over(Exception):
    """The guest has switched itself off."""


class LonelyLink(Link):
    """Answers as broker and serial device would: sleep is skipped, bytes are kept in `said`."""

    def __init__(self) -> None:
        self.kicked = False
        self.said = b""
        self._answers: deque[tuple[Frame, Message]] = deque()

    def send(self, message: Message, target: int, icount: int) -> None:
        """Put the answer where next() finds it; Over at the end."""
        match message:
            case MmioAccess(accesses):
                writes = [a.value & 0xFF for a in accesses if a.kind is AccessKind.WRITE and a.offset == 0]
                self.said += bytes(writes)
                last = accesses[-1]
                read = last.kind is AccessKind.READ and last.offset == LSR
                self._answer(target, icount, Done(TRANSMITTER_EMPTY if read else 0))
            case Sync(timer_ns=timer_ns):
                self._answer(BROKER, icount, SyncPoint(timer_ns or 0))
                self._answer(BROKER, icount, Grant())
            case PowerOff():
                raise Over
            case _:
                pass

    def look(self) -> bool:
        """Nobody asks for a stop."""
        return False

    def next(self, icount: int) -> tuple[Frame, Message]:
        """The next answer."""
        return self._answers.popleft()

    def _answer(self, source: int, icount: int, message: Message) -> None:
        self._answers.append((Frame(0, source, CPU, icount, b""), message))


class LonelyCpu:
    """One guest, ready to run."""

    def __init__(self, kernel: Path, link: LonelyLink | None = None) -> None:
        board = replace(parse_board(BARE, "test"), kernel=str(kernel))
        arch = ARCHES[board.cpu]
        self.memory = GuestMemory(board.memory)
        clock = VirtualClock(board.shift)
        self.link = link or LonelyLink()
        bus = Bus(board, self.link, clock)
        self.cpu = Cpu(board, arch, self.memory, bus.access)
        self._loop = Loop(self.cpu, bus, self.memory, self.link, clock)
        bus.attach(self.cpu, self._loop)
        loaded = load_guest(board, arch, self.memory)
        self.cpu.platform.enter(loaded.entry, loaded.device_tree)

    def run(self) -> str:
        """Run to the guest's end; its console."""
        try:
            self._loop.run()
        except Over:
            return self.link.said.decode()
        raise AssertionError("the guest ended without switching itself off")
