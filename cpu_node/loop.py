"""The shell of the CPU node: run, stop where something is due, deal with it, run on.

Theory of operation.  Everything happens at a sync point, in one order that is the same in every run:
gathered stores that are due, timers that have run out, the digest if its interval is over, and last
what the broker has.  docs/DETERMINISM.md gives the reasons.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from cpu_node import _engine
from cpu_node.changes import Changes
from cpu_node.engine import NEVER
from cpu_node.state import LoopState, registers_digest, whole_digest
from machine.clock import LONGEST_NS, slept
from machine.errors import Divergence
from machine.icount import BROKER, Icount, Seq, Stamp
from machine.message import (
    Digest,
    DigestScope,
    Grant,
    Load,
    PowerOff,
    PowerOffReason,
    Reset,
    Rouse,
    Settle,
    StateRequest,
    Stopped,
    StopRequest,
    Sync,
    SyncPoint,
)

if TYPE_CHECKING:
    from cpu_node.bus import Bus
    from cpu_node.debugger import Debugger
    from cpu_node.engine import Cpu
    from cpu_node.keeper import Keeper
    from cpu_node.link import Link
    from cpu_node.memory import GuestMemory
    from machine.clock import VirtualClock

log = logging.getLogger("dejavm")
DIGEST_EVERY: Final = 1 << 26
"""Instructions between two digests of the registers: about a third of a second."""
_FOR_NOBODY: Final = (_engine.STOP_EXACT, _engine.STOP_PLACE)
"""What the engine stops for without anything being due there."""
_DROPPED: Final = (_engine.STOP_SYNC, _engine.STOP_IDLE)
"""What the engine has stopped for where a debugger then changes something: it may be no sync point or sleep then."""


class Loop:
    """One CPU from power-on to power-off.  Also the Host its platform's firmware works on."""

    def __init__(
        self, cpu: Cpu, bus: Bus, memory: GuestMemory, link: Link, clock: VirtualClock, keeper: Keeper | None = None
    ) -> None:
        self._keeper = keeper
        self._cpu = cpu
        self._native = cpu.native
        self._bus = bus
        self._memory = memory
        self._link = link
        self._clock = clock
        self._until: int | None = 0
        self._wake_ns: int | None = None
        self._lost: tuple[int, Grant] | None = None
        """A stop that the log may have lost, if there is one at this count."""
        self._ran_from = 0
        self._next_digest = DIGEST_EVERY
        self._stop_at: int | None = None
        self._powered_off: PowerOffReason | None = None
        self._over = False
        self._kept: int | None = _engine.STOP_SYNC
        """Why the engine has stopped, when that has not been dealt with; at power-on that is a sync point."""
        self._loaded = False
        """The state is a saved one, and the broker has not said how far to run."""
        self.debugger: Debugger | None = None
        self._was_reset = False
        """The guest that slept is there no more."""
        self._unserved = False
        """The engine has stopped for somebody outside: what an access has asked for is still to come."""
        self.changes = Changes(cpu, link, clock)
        """A debugger's."""
        self._roused = self._ran = False
        """The guest's sleep has been ended for one; anything has been executed."""

    def run(self, stop_at: int | None = None) -> None:
        """Run until the machine ends, or stand still at `stop_at` and wait for the end; ShutDown ends it."""
        self._stop_at = stop_at
        while not self._over:
            self._stretch()
        self._wait_for_end()

    def load(self, message: Load) -> None:
        """Be in a saved state, or as at power-on.  StateError, LogError if that cannot be."""
        assert self._keeper is not None
        state = self._keeper.load(message)
        self._clock.idle_ns = self._native.idle_ns
        self._ran_from, self._next_digest = state.ran_from, state.next_digest
        self._kept = _engine.STOP_IDLE if state.idle else _engine.STOP_SYNC
        self._loaded = bool(message.state)
        self._be_granted(Grant(until_icount=0))
        self._ran = False
        self._powered_off, self._over, self._unserved = None, False, False

    @property
    def begun(self) -> bool:
        """Whether what happens in front of the first instruction has happened."""
        return self._kept is None

    @property
    def now_ns(self) -> int:
        """Virtual time at the instruction being served."""
        return self._clock.at(self._native.icount)

    def power_off(self, reason: PowerOffReason) -> None:
        """The guest switches the machine off; it runs no further instruction."""
        if self._powered_off is None:
            self._powered_off = reason
            self._native.stop_now()

    def console_write(self, data: bytes) -> None:
        """The firmware's console."""
        self._bus.write_console(data, self._native.icount)

    def flush_code(self) -> None:
        """Drop all translated code and address translations."""
        self._native.drop_code()

    def read_memory(self, address: int, size: int) -> bytes:
        """Guest physical memory."""
        return self._memory.read(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        """Store into guest physical memory."""
        self._cpu.store(address, data)

    def _stretch(self) -> None:
        """Run the engine until it stops, and deal with why; or stand still, where nothing is under way."""
        native, link = self._native, self._link
        while self.changes.here() and not link.paused and not self._at_target():
            self._be_granted(self.changes.take())
            if self._ran and self._kept in _DROPPED:
                self._kept = None
        if self.debugger is not None:
            self.debugger.between(begun=self._kept is None)
        # The descriptor speaks only of what comes from now on.
        native.woken = (link.look() and self._until is None) or link.save_wanted
        if link.pause_at is not None and native.icount >= link.pause_at:
            link.pause_at, link.paused = None, True
        if link.paused:
            # What waits is taken where it would be.
            if (message := link.rest(native.icount, self.now_ns)) is not None:
                self.load(message)
        elif self._stop_at is not None and native.icount >= self._stop_at:
            self._stand_still()
        elif self._kept is None:
            self._run()
        else:
            reason, self._kept = self._kept, None
            self._deal_with(reason)

    def _run(self) -> None:
        self._set_deadline()
        native = self._native
        self._ran_from = native.icount
        self._ran, self.changes.made = True, False
        reason = native.run()
        held = self.debugger is not None and self.debugger.came_back(reason, changes=self.changes.here())
        if held or (self.changes.made and reason in _DROPPED):
            self._unserved = True
        elif self._at_target():
            # Standing still comes before what happens at an instruction.
            self._kept = None if reason in _FOR_NOBODY else reason
            self._unserved = self._kept is None
        elif reason in _FOR_NOBODY:
            self._unserved = True
        elif self.changes.here():
            self._kept = reason
        else:
            self._deal_with(reason)

    def _at_target(self) -> bool:
        return any(self._native.icount >= at for at in self._targets())

    def _targets(self) -> list[int]:
        return [at for at in (self._stop_at, self._link.pause_at) if at is not None]

    def _deal_with(self, reason: int) -> None:
        if self._loaded:
            self._hear_how_far()
            standing = self._link.pause_at is not None and self._native.icount >= self._link.pause_at
            if standing or self.changes.here():
                # Standing still comes before what happens at an instruction.
                self._kept = reason
                return
        if reason == _engine.STOP_FIRMWARE:
            self._firmware()
        elif reason == _engine.STOP_STUCK:
            self._stuck()
        else:
            self._serve(idle=reason == _engine.STOP_IDLE)

    def _hear_how_far(self) -> None:
        """A saved state does not say how far to run: that is the broker's to know."""
        self._loaded = False
        _, message = self._link.next(self._native.icount)
        if not isinstance(message, Grant):
            raise self._link.protocol_error(message, "behind Load")
        self._be_granted(message)

    def _be_granted(self, grant: Grant) -> None:
        self._until, self._wake_ns, self.changes.next, self._lost = grant.until_icount, grant.wake_ns, None, None
        if grant.pc is not None:
            self._until, self.changes.next = None, grant
        elif grant.gathered and grant.until_icount is not None:
            self._until, self._lost = None, (grant.until_icount, grant)
        self._link.talked = 0

    def _set_deadline(self) -> None:
        counts = (self._next_digest, self._until, None if self._lost is None else self._lost[0])
        deadline = min(count for count in counts if count is not None)
        for time_ns in (self._cpu.platform.timer_ns(), self._bus.timers.next_ns(), self._wake_ns):
            if time_ns is not None:
                deadline = min(deadline, self._clock.icount_at(time_ns))
        targets, debugger = self._targets(), self.debugger
        if debugger is not None:
            deadline = min(deadline, debugger.pause_at)
            targets.append(debugger.target)
        if self._unserved:
            deadline = min(deadline, self._native.deadline)
            self._unserved = False
        if self.changes.next is not None:
            targets.append(self.changes.approach(self.changes.next))
        self._native.deadline = deadline
        self._native.target = min(targets, default=NEVER)

    def _stuck(self) -> None:
        """The guest's trap handler traps at its first instruction, as when a kernel dies before it has one."""
        log.warning(
            "the guest's trap handler traps at once: it can do nothing any more (last cause %d)",
            self._native.last_cause,
        )
        self._powered_off = PowerOffReason.FAILURE
        self._say_power_off()

    def _firmware(self) -> None:
        self._cpu.platform.firmware_call(self)
        self._native.after_firmware()
        if self._powered_off is not None:
            self._say_power_off()
        else:
            self._cpu.platform.settle(self.now_ns)

    def _serve(self, *, idle: bool) -> None:
        """Everything that is due where the CPU stands."""
        native, icount = self._native, self._native.icount
        native.woken = False
        self._link.look()
        if self._link.save_wanted and icount > self._ran_from and self._powered_off is None:
            # Nothing has happened at this instruction count, so what has happened is told by the count alone.
            self._save(icount, idle=idle, front=True)
        if idle or native.posted_at <= icount:
            self._bus.tell_gathered(icount)
        self._expire(icount)
        if icount >= self._next_digest:
            self._send_digest(icount)
        if self._powered_off is not None:
            self._say_power_off()
            return
        if idle:
            self._sleep(icount)
        elif self._broker_is_due(icount):
            self._synchronise(icount, Sync())
        self._expire(icount)

    def _expire(self, icount: int) -> None:
        if not self._over:  # behind a StopRequest nobody listens to a device any more
            self._bus.expire_timers(icount)
        self._cpu.platform.settle(self._clock.at(icount))

    def _broker_is_due(self, icount: int) -> bool:
        # Only at the first sync point of an instruction count, or a replay would stop at an earlier one.
        if self._link.kicked and self._until is None and icount > self._ran_from:
            return True
        if self._until is not None and icount >= self._until:
            return True
        if self._lost is not None and icount >= self._lost[0]:
            (count, lost), self._lost = self._lost, None
            return icount == count and self._bus.has_gathered(lost.device, lost.gathered)
        return self._wake_ns is not None and self._clock.at(icount) >= self._wake_ns

    def _sleep(self, icount: int) -> None:
        """The guest waits for an interrupt: virtual time moves on until there is one."""
        self._was_reset = self._roused = False
        while not (self._cpu.platform.wakes() or self._over or self._was_reset or self._roused):
            now_ns = self._clock.at(icount)
            armed = (self._cpu.platform.timer_ns(), self._bus.timers.next_ns())
            waits = [max(0, t - now_ns) for t in armed if t is not None]
            # What is further away never runs out, so virtual time always fits 64 bits.
            timer_ns = min((ns for ns in waits if ns <= LONGEST_NS - self._clock.idle_ns), default=None)
            self._link.asleep = True
            self._synchronise(icount, Sync(idle=True, timer_ns=timer_ns))
            self._link.asleep = False
            self._expire(icount)

    def _synchronise(self, icount: int, sync: Sync) -> None:
        """Tell what was gathered, ask the broker, take what it delivers up to its Grant."""
        self._bus.tell_gathered(icount)
        if (self._until is not None and icount != self._until) or self.changes.next is not None:
            raise Divergence(
                Stamp(Icount(icount), Seq(0)),
                "cpu",
                "sync_point",
                f"a sync point at {self._until}" if self.changes.next is None else "a debugger's change",
                f"the guest {'sleeps' if sync.idle else 'has its next one'} at {icount}",
            )
        self._link.kicked = False
        self._link.send(sync, BROKER, icount)
        # Nobody wakes a sleeping guest while its state is wanted; in a replay what ends its sleep is there already.
        while sync.idle and self._until is None and not self._link.await_word():
            self._save(icount, idle=True, front=False)
        self._take_deliveries(icount)

    def _take_deliveries(self, icount: int) -> None:
        """Everything of a sync point, up to its Grant."""
        while True:
            frame, message = self._link.next(icount)
            match message:
                case Grant():
                    self._be_granted(message)
                    return
                case Reset():
                    self._reset()
                case Rouse():
                    self._roused = True
                case SyncPoint(idle_ns):
                    self._clock.idle_ns = self._native.idle_ns = slept(self._native.idle_ns, idle_ns)
                case Settle():
                    # Deliveries are applied in order: what came before is in memory.
                    self._link.send(Settle(), BROKER, icount)
                case StopRequest():
                    self._over = True
                    return
                case _:
                    self._bus.apply(frame.source, message, icount)

    def _save(self, icount: int, *, idle: bool, front: bool) -> None:
        assert self._keeper is not None
        state = LoopState(self._ran_from if front else icount, self._next_digest, idle)
        saved = self._keeper.save(state, whole=self._link.save_whole)
        self._link.saved(replace(saved, front=front, virtual_ns=self._clock.at(icount)), icount)

    def _send_digest(self, icount: int) -> None:
        # Which entries live in the TLB depends on the host's clock: start from none in every run.
        self._native.flush_tlb()
        self._link.send(Digest(DigestScope.REGISTERS, registers_digest(self._cpu)), BROKER, icount)
        self._next_digest = (icount // DIGEST_EVERY + 1) * DIGEST_EVERY

    def _say_power_off(self) -> None:
        assert self._powered_off is not None
        icount = self._native.icount
        self._bus.tell_gathered(icount)
        self._link.send(PowerOff(self._powered_off), BROKER, icount)
        if self._powered_off is PowerOffReason.REBOOT and self._link.begins_anew():
            self._take_deliveries(icount)
            self._expire(icount)
        else:
            self._over = True

    def _reset(self) -> None:
        """The machine begins anew, while time goes on; its devices are reset behind its CPU."""
        assert self._keeper is not None
        self._keeper.reset()
        if self.debugger is not None:
            self.debugger.memory_cleared()
        self._powered_off, self._was_reset = None, True

    def _stand_still(self) -> None:
        digest = whole_digest(self._cpu, self._bus, self._memory)
        self._link.send(Stopped(digest), BROKER, self._native.icount)
        self._link.await_shutdown()

    def _wait_for_end(self) -> None:
        """Nothing is executed any more; the broker may ask for the state."""
        icount = self._native.icount
        while True:
            frame, message = self._link.next(icount)
            if isinstance(message, StateRequest):
                digest = whole_digest(self._cpu, self._bus, self._memory)
                self._link.send(Digest(DigestScope.ALL, digest), BROKER, icount)
            elif not isinstance(message, Grant):
                raise self._link.protocol_error(message, f"after the end, seq {frame.seq}")
