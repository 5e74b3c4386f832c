"""What a debugger changes: where the CPU stands, and at replay again at the very same place.

Theory of operation.  A place is an instruction count, the address that is next, and how many messages have passed
between the CPU and others since its last Grant.  Whatever else may differ there, whether timers have been looked at or
whether the engine came to it at a sync point, is made equal by the change itself: timers are looked at, everything
translated is dropped, and behind it the place is no sync point.

Lives here: applying a change, coming to its place.  Never here: when the engine runs (loop.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node.engine import NEVER
from machine.errors import Divergence
from machine.icount import BROKER, Icount, Seq, Stamp
from machine.message import DebuggerWrite, Grant, Sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpu_node.engine import Cpu
    from cpu_node.link import Link
    from machine.clock import VirtualClock


class Changes:
    """Those of one run."""

    def __init__(self, cpu: Cpu, link: Link, clock: VirtualClock) -> None:
        self._cpu = cpu
        self._native = cpu.native
        self._link = link
        self._clock = clock
        self.next: Grant | None = None
        """The place of the next one, when a replay comes to it before its next sync point."""
        self.on_write: Callable[[int, int], None] | None = None
        """A debugger's: called behind each write to memory that a replay repeats, with its address and size."""
        self.made = False
        """There has been one since somebody has last set this."""

    def here(self) -> bool:
        """Whether the CPU stands where the next one was made, with everything said that was said before."""
        at, native = self.next, self._native
        if at is None or native.icount != at.until_icount:
            return False
        return self._link.talked == at.after and native.pc == at.pc

    def approach(self, at: Grant) -> int:
        """The instruction count to stop at on the way to a place; Divergence if that has been missed."""
        native, icount, pc = self._native, at.until_icount, at.pc
        assert icount is not None
        assert pc is not None
        if native.icount > icount:
            stamp = Stamp(Icount(icount), Seq(0))
            raise Divergence(stamp, "cpu", "debugger_write", f"pc {pc:#x} there", f"the guest is at {native.icount}")
        here = native.icount == icount
        native.place = pc if here and native.pc != pc else NEVER
        return icount + here

    def take(self) -> Grant:
        """Ask for what was changed here, and change it; how far to run from here."""
        icount = self._native.icount
        self._native.place = NEVER
        self._link.send(Sync(), BROKER, icount)
        while True:
            frame, message = self._link.next(icount)
            match message:
                case Grant():
                    return message
                case DebuggerWrite():
                    self._apply(message)
                    if self.on_write is not None and not message.register:
                        self.on_write(message.address, len(message.data))
                case _:
                    raise self._link.protocol_error(message, f"at a debugger's place, seq {frame.seq}")

    def make(self, register: str = "", value: int = 0, address: int = 0, data: bytes = b"") -> bool:
        """Change something, and have that written down; False if it cannot be changed."""
        message = DebuggerWrite(self._native.pc, register, value, address, data)
        if not self._apply(message):
            return False
        self._link.send(message, BROKER, self._native.icount)
        return True

    def _apply(self, message: DebuggerWrite) -> bool:
        cpu = self._cpu
        cpu.platform.settle(self._clock.at(self._native.icount))
        if not message.register:
            cpu.store(message.address, message.data)
        elif not cpu.put_register(message.register, message.value):
            return False
        self._native.changed()
        self.made = True
        return True
