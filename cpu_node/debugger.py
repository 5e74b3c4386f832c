"""A debugger inside the CPU's process: where the CPU is held, what is looked at there, how it goes on.

Theory of operation.  The loop calls between() before each stretch of the engine and came_back() behind it.  Either
may hold the CPU: stand() returns only when somebody has said how it goes on.  What is due at the instruction comes
behind that, exactly as if nobody had looked; nothing of it is told to the broker or written down.

Lives here: reasons to stand, the state as it is looked at.  Never here: sockets, gdb's language.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cpu_node import _engine
from cpu_node._engine import HIT_ASKED, HIT_DEVICE
from cpu_node.engine import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.engine import Cpu
    from cpu_node.memory import GuestMemory
    from machine.clock import VirtualClock

Watch = tuple[int, int, int]
"""(first, last, HIT_READ | HIT_WRITE) of guest physical memory."""


RESET, GDB = "reset", "gdb"
"""In the place of a device's name: what has written to memory."""
ALL_OF_MEMORY: Final = 1 << 62


class Why(StrEnum):
    """Why the machine stands."""

    BREAK = "break"
    WATCH = "watch"
    STEP = "step"
    UNTIL = "until"
    PAUSED = "paused"
    INTERRUPT = "interrupt"
    TOUCHED = "touched"
    BEGIN = "begin"
    END = "end"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Hit:
    """What was met last: `kind` as HIT_, and where the CPU was in front of the instruction; `device` if it was one."""

    kind: int
    icount: int
    pc: int
    address: int
    size: int
    device: str = ""

    @property
    def between(self) -> bool:
        """A device has written at a sync point, where no instruction asked it to."""
        return bool(self.kind & HIT_DEVICE) and not self.kind & HIT_ASKED


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the machine stands, and why.  `seq` is the last message that has happened, at replay; else 0."""

    why: Why
    icount: int
    pc: int
    hit: Hit | None = None
    now_ns: int = 0
    seq: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """How the machine goes on.

    `until`: stand exactly there.  `pause_at`: at the first sync point from there on, which has been dealt with.
    `noting`: breakpoints and watchpoints do not stop it, the last one is told with the next stop.
    `anew`: the breakpoint where it stands counts.
    `scouting`: watchpoints do not stop it; it stands at the first sync point behind which a page of theirs has been
    touched, and until then costs nothing.  Only a replay has that.
    """

    step: bool = False
    until: int | None = None
    pause_at: int | None = None
    noting: bool = False
    anew: bool = False
    scouting: bool = False


class Standing:
    """A machine that stands, as a debugger looks at it and changes it.  Looking changes nothing at all."""

    def __init__(self, arch: ArchSpec, cpu: Cpu, memory: GuestMemory, clock: VirtualClock) -> None:
        self.arch = arch
        self._cpu = cpu
        self._memory = memory
        self._clock = clock

    def raw_registers(self) -> tuple[int, ...]:
        """In the order of the architecture's Inspect."""
        self._cpu.native.keep()
        try:
            return self._cpu.platform.registers()
        finally:
            self._cpu.native.put_back()

    def registers(self) -> Mapping[str, int]:
        """By gdb's names."""
        icount = self._cpu.native.icount
        return self.arch.debugging.view(self.raw_registers(), icount, self._clock.at(icount))

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return self._clock.at(self._cpu.native.icount)

    def read_physical(self, address: int, size: int) -> bytes:
        """What is guest memory of it, up to the first byte that is not; registers of devices are not read."""
        start_inside = self._memory.holds(address, 1)
        return self._memory.read(address, min(size, self._memory.end - address)) if start_inside else b""

    def set_points(self, breaks: Sequence[int], watches: Sequence[Watch], *, exact: bool = True) -> None:
        """Breakpoints at virtual addresses, watchpoints on physical memory; ValueError if there are too many.

        `exact`: the machine can be stopped behind an access, which costs speed.
        """
        self._cpu.native.set_points(breaks, watches, exact)


_POINTS: Final = {
    _engine.STOP_BREAK: Why.BREAK,
    _engine.STOP_WATCH: Why.WATCH,
    _engine.STOP_DEVICE: Why.WATCH,
    _engine.STOP_STEP: Why.STEP,
}


class Debugger(ABC):
    """Holds the CPU for somebody."""

    def __init__(self, standing: Standing, cpu: Cpu) -> None:
        self.standing = standing
        self._native = cpu.native
        self._order = Order()
        self._began_at = 0
        self._device_hit: Hit | None = None
        self.interrupted = False
        """Somebody wants the CPU to stand at the next sync point."""

    @property
    def pause_at(self) -> int:
        """The loop comes back at the first sync point from here on."""
        return NEVER if self._order.pause_at is None else self._order.pause_at

    @property
    def target(self) -> int:
        """The engine stops exactly here."""
        step = self._began_at + 1 if self._order.step else NEVER
        return min(step, NEVER if self._order.until is None else self._order.until)

    @property
    def seq(self) -> int:
        """The last message that has happened, as far as is known."""
        return 0

    @abstractmethod
    def attend(self) -> None:
        """Take in what has come, without waiting."""

    @abstractmethod
    def stand(self, stop: Stop) -> Order:
        """The machine stands: wait for what comes next."""

    def between(self, *, begun: bool) -> None:
        """Everything is dealt with where the CPU stands, and the engine is about to go on.

        Not `begun`: what happens in front of its first instruction is still to come.
        """
        del begun
        self.attend()
        order = self._order
        if self._device_hit is not None and not order.noting:
            self.hold(Why.WATCH)
        elif self.interrupted:
            self.hold(Why.INTERRUPT)
        elif self._native.icount >= self.pause_at:
            self.hold(Why.PAUSED)
        elif (why := self._arrived()) is not None:
            self.hold(why)

    def came_back(self, reason: int, *, changes: bool = False) -> bool:
        """The engine has come back; whether that was for a debugger alone, so that nothing is due there.

        `changes`: a debugger has changed something here, which is still to come: the machine stands behind that,
        however it has got here.
        """
        if (why := _POINTS.get(reason)) is not None:
            self.hold(why)
            return True
        if not changes and (why := self._arrived()) is not None:
            met = self._device_hit is not None and not self._order.noting
            self.hold(Why.WATCH if met else why)
        return reason in (_engine.STOP_EXACT, _engine.STOP_PLACE)

    def _arrived(self) -> Why | None:
        """Whether the CPU is where it was told to go."""
        order, icount = self._order, self._native.icount
        if order.step and icount > self._began_at:
            return Why.STEP
        return Why.UNTIL if order.until is not None and icount >= order.until else None

    def device_wrote(self, device: str, address: int, size: int, in_access: bool) -> None:
        """A device has written to memory, perhaps to some that is watched."""
        if self._native.wrote(address, size, in_access):
            assert self._native.hit is not None
            self._device_hit = replace(Hit(*self._native.hit), device=device)

    def memory_cleared(self) -> None:
        """The machine has begun anew: all its memory was written."""
        self.device_wrote(RESET, 0, ALL_OF_MEMORY, in_access=False)

    def changed(self, address: int, size: int) -> None:
        """What a debugger has written when this was recorded is written again."""
        self.device_wrote(GDB, address, size, in_access=False)

    def hold(self, why: Why) -> None:
        """Stand until somebody says how it goes on."""
        native = self._native
        self.interrupted = False
        while True:
            order = self.stand(self.where(why))
            self._device_hit = None
            self._order = order
            self._began_at = native.icount
            native.begin(order.step, order.noting, order.anew)
            if order.until is None or order.until > native.icount:
                return
            why = Why.UNTIL

    def where(self, why: Why, text: str = "") -> Stop:
        """The machine as it stands."""
        native = self._native
        return Stop(why, native.icount, native.pc, self._last_hit(), self.standing.now_ns, self.seq, text)

    def _last_hit(self) -> Hit | None:
        found = self._native.hit
        if found is None:
            return None
        hit = Hit(*found)
        device = self._device_hit
        return device if device is not None and device.icount == hit.icount and device.kind == hit.kind else hit
