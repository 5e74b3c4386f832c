"""The CPU node's parts in the test's own process, without a broker: a closed guest with the simplest serial line."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cpu_node import state as states
from cpu_node.arch import ARCHES
from cpu_node.bus import Bus
from cpu_node.engine import Cpu
from cpu_node.keeper import Keeper
from cpu_node.link import Link
from cpu_node.loop import DIGEST_EVERY, Loop
from cpu_node.memory import GuestMemory
from cpu_node.state import LoopState, NodeState
from machine import vmstate
from machine.board import parse_board
from machine.clock import VirtualClock
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.message import AccessKind, Done, Grant, Load, Message, MmioAccess, PowerOff, Sync, SyncPoint
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

    def await_word(self) -> bool:
        """The answer is there."""
        return True

    def next(self, icount: int) -> tuple[Frame, Message]:
        """The next answer."""
        return self._answers.popleft()

    def granted(self) -> None:
        """The CPU that has just been put into a state may run."""
        self._answers.clear()
        self._answer(BROKER, 0, Grant())

    def _answer(self, source: int, icount: int, message: Message) -> None:
        self._answers.append((Frame(0, source, CPU, icount, b""), message))


class MemoryKeeper(Keeper):
    """Has memory from the test instead of from a recording."""

    coming = b""

    def load(self, message: Load) -> LoopState:
        """Be in that state, with the memory that is coming."""
        self._staging.end()
        self._memory.clear()
        self._memory.view[:] = self.coming
        state = vmstate.decode(NodeState, message.state)
        states.load(self._cpu, self._bus, state)
        self._staging.begin()
        return state.loop


class LonelyCpu:
    """One guest, ready to run."""

    def __init__(self, kernel: Path, link: LonelyLink | None = None) -> None:
        board = replace(parse_board(BARE, "test"), kernel=str(kernel))
        arch = ARCHES[board.cpu]
        self.memory = GuestMemory(board.memory)
        clock = VirtualClock(board.shift)
        self.link = link or LonelyLink()
        self.bus = Bus(board, self.link, clock)
        self.cpu = Cpu(board, arch, self.memory, self.bus.access)
        self._keeper = MemoryKeeper(board, arch, self.cpu, self.bus, self.memory, DIGEST_EVERY)
        self.loop = Loop(self.cpu, self.bus, self.memory, self.link, clock, self._keeper)
        self.bus.attach(self.cpu, self.loop)
        self._keeper.power_on()

    def save(self) -> NodeState:
        """The state where the CPU stands, before anything is dealt with there."""
        loop = self._loaded.loop if self._loaded else LoopState(next_digest=DIGEST_EVERY)
        return states.save(self.cpu, self.bus, loop)

    def load(self, state: bytes, memory: bytes) -> None:
        """Go on from a saved state."""
        self._loaded = vmstate.decode(NodeState, state)
        self._keeper.coming = memory
        self.loop.load(Load(state))
        self.link.granted()

    def reset(self) -> None:
        """Power-on again, where the CPU stands."""
        self._keeper.reset()

    _loaded: NodeState | None = None

    def run(self) -> str:
        """Run to the guest's end; its console."""
        try:
            self.loop.run()
        except Over:
            return self.link.said.decode()
        raise AssertionError("the guest ended without switching itself off")
