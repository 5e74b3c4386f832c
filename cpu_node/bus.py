"""The guest's register accesses as messages, and what devices answer applied to the machine.

Lives here: which window belongs to which node, effects.  Never here: when the CPU runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cpu_node.timers import DeviceTimers, TimersState
from machine.codec import encode
from machine.errors import RemoteWireError
from machine.icount import FIRST_DEVICE
from machine.message import (
    Access,
    AccessKind,
    DmaData,
    DmaRead,
    DmaWrite,
    Done,
    FifoData,
    IrqLevel,
    Message,
    MmioAccess,
    RegisterMap,
    TimerArm,
    TimerCancel,
    TimerExpired,
)

if TYPE_CHECKING:
    from cpu_node.arch.spec import Host
    from cpu_node.engine import Cpu
    from cpu_node.link import Link
    from machine.board import Board
    from machine.clock import VirtualClock

OnDma = Callable[[str, int, int, bool], None]
"""on_dma(device, guest physical address, bytes, whether the CPU is in the middle of an access)"""
TELL: Final = 0
"""The access kind with which the engine asks to tell a device what was gathered, and no more."""
RAISE: Final = 4
"""The access kind with which the engine says that a posted store has raised the device's interrupt line."""


class Bus:
    """Between the engine's windows and the device nodes."""

    def __init__(self, board: Board, link: Link, clock: VirtualClock) -> None:
        self._link = link
        self._clock = clock
        self._board = board
        self.timers = DeviceTimers(TimersState())
        self.on_dma: OnDma | None = None
        """A debugger's: called behind each write of a device to memory."""
        self._in_access = False
        self._cpu: Cpu
        self._host: Host
        self._nodes: dict[int, int] = {}
        self._windows: dict[int, int] = {}

    def attach(self, cpu: Cpu, host: Host) -> None:
        """Join the bus with the engine it serves."""
        self._cpu = cpu
        self._host = host
        names = [slot.name for slot in self._board.devices]
        for window, (name, _, _) in enumerate(cpu.windows):
            if name in names:
                node = FIRST_DEVICE + names.index(name)
                self._nodes[window] = node
                self._windows[node] = window

    def access(self, window: int, kind: int, offset: int, size: int, value: int) -> int:
        """An access the engine could not serve itself; the CPU stands in the middle of it."""
        self._in_access = True
        try:
            return self._access(window, kind, offset, size, value)
        finally:
            self._in_access = False

    def _access(self, window: int, kind: int, offset: int, size: int, value: int) -> int:
        cpu = self._cpu
        node = self._nodes.get(window)
        if node is None:
            return self._controller(cpu.windows[window][0], kind, offset, size, value)
        if kind == RAISE:
            self.apply(node, IrqLevel(level=True), cpu.native.access_icount)
            cpu.native.request_sync()
            return 0
        accesses = self._gathered(window)
        if kind != TELL:
            accesses = (*accesses, Access(AccessKind(kind), offset, size, value))
        cpu.native.request_sync()
        return self._ask(node, MmioAccess(accesses), cpu.native.access_icount)

    def tell_gathered(self, icount: int) -> None:
        """Tell every device what was gathered for it, in board order."""
        for window, node in self._nodes.items():
            accesses = self._gathered(window)
            if accesses:
                self._ask(node, MmioAccess(accesses), icount)

    def has_gathered(self, device: int, payload: bytes) -> bool:
        """Whether just what an encoded MmioAccess says is gathered for a device."""
        window = self._windows.get(device)
        rows = [] if window is None else self._cpu.native.window_state(window)[2]
        return bool(rows) and encode(MmioAccess(_accesses(rows))) == payload

    def expire_timers(self, icount: int) -> None:
        """Tell every device whose timer has run out."""
        now_ns = self._clock.at(icount)
        while (expired := self.timers.pop_expired(now_ns)) is not None:
            node, timer = expired
            self._ask(node, TimerExpired(timer), icount)

    def write_console(self, data: bytes, icount: int) -> None:
        """The firmware's console: stores to the transmit register of the first serial line."""
        window = next((w for w, n in self._nodes.items() if self._kind(n) == "serial"), None)
        if window is None or not data:
            return
        native = self._cpu.native
        for i, byte in enumerate(data):
            if not native.post(window, 0, byte):
                rest = Access(AccessKind.WRITE, 0, 1, data=data[i:])
                self._ask(self._nodes[window], MmioAccess((*self._gathered(window), rest)), icount)
                return

    def apply(self, source: int, message: Message, icount: int) -> None:
        """One effect of a device; RemoteWireError if it is none."""
        cpu = self._cpu
        window = self._windows.get(source)
        match message:
            case IrqLevel(level) if window is not None:
                irq = self._board.devices[source - FIRST_DEVICE].irq
                if irq:
                    cpu.platform.set_line(irq, level)
            case RegisterMap(registers) if window is not None:
                for r in registers:
                    cpu.native.set_register(
                        window, r.offset, r.read, r.write, r.value, r.latch_mask, r.call_mask, r.fifo_mask, r.raise_mask
                    )
            case FifoData(data) if window is not None:
                cpu.native.push_fifo(window, data)
            case DmaWrite(address, data):
                cpu.store(address, data)
                if self.on_dma is not None:
                    self.on_dma(self._board.devices[source - FIRST_DEVICE].name, address, len(data), self._in_access)
            case DmaRead(address, size):
                self._link.send(DmaData(self._host.read_memory(address, size)), source, icount)
            case TimerArm(timer, delay_ns):
                self.timers.arm(source, timer, self._clock.at(icount) + delay_ns)
            case TimerCancel(timer):
                self.timers.cancel(source, timer)
            case _:
                raise RemoteWireError(f"cpu: {type(message).__name__} from node {source} is no effect")

    def _ask(self, node: int, message: Message, icount: int) -> int:
        """Say something to a device and apply what it causes, up to its Done."""
        self._link.send(message, node, icount)
        while True:
            frame, answer = self._link.next(icount)
            if isinstance(answer, Done):
                return answer.value
            self.apply(frame.source, answer, icount)

    def _gathered(self, window: int) -> tuple[Access, ...]:
        return _accesses(self._cpu.native.take_posted(window))

    def _controller(self, name: str, kind: int, offset: int, size: int, value: int) -> int:
        cpu = self._cpu
        cpu.native.request_sync()
        if kind == AccessKind.READ:
            return cpu.platform.read(name, offset, size)
        if kind == AccessKind.WRITE:
            cpu.platform.write(name, offset, size, value, self._host)
        return 0

    def _kind(self, node: int) -> str:
        return self._board.devices[node - FIRST_DEVICE].kind


def _accesses(rows: list[tuple[int, int, int, int, bytes]]) -> tuple[Access, ...]:
    """What the engine has gathered, as messages have it."""
    return tuple(Access(AccessKind(kind), offset, size, value, data) for kind, offset, size, value, data in rows)
