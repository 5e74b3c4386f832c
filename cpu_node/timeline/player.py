"""One recording, one CPU, no other process: run on to an instruction, look at the machine there.

Theory of operation.  run_on() stops only at sync points, where stopping is invisible, and may be called again.
run_exactly() stops at an exact instruction, in the middle of a block; so it is for a process that is forked for that
one look (server.py).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_128, xxh3_128_digest

from cpu_node.arch import ARCHES
from cpu_node.bus import Bus
from cpu_node.debugger import Standing
from cpu_node.engine import Cpu
from cpu_node.keeper import Keeper
from cpu_node.loop import DIGEST_EVERY, Loop
from cpu_node.timeline.guards import Guards
from cpu_node.timeline.loglink import EndOfLog, LogLink
from cpu_node.timeline.memory import PrivateMemory
from cpu_node.timeline.perturb import Perturbation
from machine.clock import VirtualClock
from machine.errors import BoardError, LogError, RemoteWireError
from machine.message import Load
from machine.recording.place import START
from machine.recording.snapshots.snapshot import point_of
from machine.recording.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cpu_node.debugger import Debugger
    from cpu_node.memory import GuestMemory
    from cpu_node.staging import Staging
    from machine.board import Board
    from machine.message import Saved
    from machine.recording.reader import Recording

CPU_NAME: Final = "cpu"
CODE_BYTES: Final = 4
"""The longest instruction."""
GRANULE_BYTES: Final = 1 << 20
"""What all of memory is compared by."""
ZERO_GRANULE: Final = xxh3_128_digest(bytes(GRANULE_BYTES))


class TimelineLoop(Loop):
    """The CPU's loop, one stretch after the other."""

    _pause_at = 0
    _keep_at: int | None = None
    _keep_behind: int | None = None
    """The message behind which the state of a guest that sleeps is wanted."""
    perturbation = Perturbation()

    @property
    def over(self) -> bool:
        """The machine has come to its end."""
        return self._over

    def run_on(self, icount: int) -> None:
        """Run to the first sync point at or behind an instruction count, which is dealt with; or to the end."""
        self._pause_at = icount
        while not self._over and (self._kept is not None or self._native.icount < icount or self.changes.here()):
            self._stretch()

    def run_exactly(self, icount: int) -> None:
        """Run to exactly an instruction count; what happens there has not happened.  Nothing may follow."""
        self._pause_at = self._stop_at = icount
        while not self._over and self._native.icount < icount:
            self._stretch()

    def keep_at(self, icount: int) -> bool:
        """Have the state told at the first sync point of a new count at or behind that one; False if none comes."""
        self._keep_at = self._pause_at = icount
        while not self._over and self._keep_at is not None:
            self._stretch()
        return self._keep_at is None

    def keep_asleep(self, icount: int, seq: int) -> None:
        """Run on to behind that count; on the way the state is told of the guest that sleeps behind message `seq`."""
        self._keep_behind, self._pause_at = seq, icount
        while not self._over and self._native.icount <= icount:
            self._stretch()

    def end(self) -> None:
        """Answer what the recording asks behind the last instruction."""
        self._wait_for_end()

    def _set_deadline(self) -> None:
        super()._set_deadline()
        bound = self._log.bound if self._until is None else None
        for wanted in (self._pause_at, self.perturbation.flip_at, bound):
            if wanted is not None and self._native.icount < wanted:
                self._native.deadline = min(self._native.deadline, wanted)

    def _hear_how_far(self) -> None:
        """The log knows."""
        self._loaded = False
        self._be_granted(self._log.grant)

    @property
    def _log(self) -> LogLink:
        assert isinstance(self._link, LogLink)
        return self._link

    def _serve(self, *, idle: bool) -> None:
        icount = self._native.icount
        if self._until is None:
            self._log.check_bound(icount)
        if self._keep_at is not None and icount >= self._keep_at and icount > self._ran_from:
            self._keep_at, self._link.save_wanted = None, True
        super()._serve(idle=idle)
        flip_at = self.perturbation.flip_at
        if flip_at is not None and self._native.icount >= flip_at:
            self.perturbation.flip(self._memory)

    def _take_deliveries(self, icount: int) -> None:
        if self._keep_behind is not None and self._link.asleep and self._log.has_passed(self._keep_behind):
            self._keep_behind = None
            self._save(icount, idle=True, front=False)
        super()._take_deliveries(icount)

    def _stand_still(self) -> None:
        """The loop of run_exactly() sees it by itself."""


class Player:
    """A machine that does again what was recorded, up to where it is told; from power-on, or from a snapshot."""

    def __init__(
        self,
        recording: Recording,
        board: Board,
        perturbation: Perturbation,
        snapshot: int = 0,
        staging: Callable[[GuestMemory], Staging] | None = None,
    ) -> None:
        """`staging`: what is to tell of memory when the state is told; nothing else."""
        arch = ARCHES.get(board.cpu)
        if arch is None:
            raise BoardError(f"machine.cpu: {board.cpu} is not one of {', '.join(sorted(ARCHES))}")
        # A branch, or what was cut, has no power-on.
        snapshot = snapshot or recording.facts.snapshot
        self.arch = arch
        self.memory = PrivateMemory(board.memory)
        loads = SnapshotStore(recording.path, recording.facts.id).read(snapshot) if snapshot else None
        self._path = recording.path
        with self._told_by_the_log():
            self.link = LogLink(recording, point_of(loads) if loads is not None else START)
        clock = VirtualClock(board.shift)
        bus = Bus(board, self.link, clock)
        self.cpu = Cpu(board, arch, self.memory, bus.access)
        perturbation.begin(self.cpu)
        self.guards = Guards(self.memory)
        keeper = Keeper(
            board, arch, self.cpu, bus, self.memory, DIGEST_EVERY, staging(self.memory) if staging else self.guards
        )
        self._loop = TimelineLoop(self.cpu, bus, self.memory, self.link, clock, keeper)
        self.bus, self.clock = bus, clock
        self._loop.perturbation = perturbation
        bus.attach(self.cpu, self._loop)
        if loads is None:
            keeper.power_on()
        else:
            (state,) = (node.state for node in loads.nodes if node.name == CPU_NAME)
            self._loop.load(Load(state, str(recording.path), snapshot))

    @property
    def icount(self) -> int:
        """Instructions so far."""
        return self.cpu.native.icount

    def run_on(self, icount: int) -> bool:
        """Run to the first sync point at or behind `icount`; False if the recording is over there.  Divergence."""
        with self._told_by_the_log():
            try:
                self._loop.run_on(icount)
                if not self._loop.over:
                    return True
                self._loop.end()
            except EndOfLog:
                return False
        return False

    def keep_at(self, icount: int, hear: Callable[[Saved, int], None]) -> bool:
        """Run to the first sync point of a new instruction count at or behind `icount`; `hear` is told the state there.

        False if the recording is over before.  Divergence.
        """
        self.link.on_saved = hear
        with self._told_by_the_log():
            try:
                return self._loop.keep_at(icount)
            except EndOfLog:
                return False

    def keep_asleep(self, icount: int, seq: int, hear: Callable[[Saved, int], None]) -> None:
        """Run on to behind `icount`, or the end; `hear` is told the state where the guest sleeps behind message `seq`.

        Divergence.
        """
        self.link.on_saved = hear
        with self._told_by_the_log(), suppress(EndOfLog):
            self._loop.keep_asleep(icount, seq)

    def run_exactly(self, icount: int) -> None:
        """Run to an instruction and stand there for good."""
        with self._told_by_the_log(), suppress(EndOfLog):
            self._loop.run_exactly(icount)

    @contextmanager
    def _told_by_the_log(self) -> Iterator[None]:
        """Nobody else speaks to this CPU: LogError for what no machine's run can have told it."""
        try:
            yield
        except RemoteWireError as error:
            raise LogError(f"{self._path}: it holds what no run has: {error}") from error

    def read(self, address: int, size: int) -> bytes:
        """Guest physical memory; bytes outside of it are zero."""
        return self.memory.read(address, size)

    def cover(self) -> None:
        """From here on note which blocks of instructions are executed."""
        self.cpu.native.cover()

    def covered(self) -> list[tuple[int, int]]:
        """The blocks that were: first virtual address and bytes, each once, by address."""
        return self.cpu.native.covered()

    def run(self, debugger: Debugger) -> None:
        """Run for a debugger, who stops it wherever it wants; EndOfLog where the recording is over, Divergence."""
        self.attend(debugger)
        with self._told_by_the_log():
            self._loop.run()

    def attend(self, debugger: Debugger) -> None:
        """Have a debugger see what happens."""
        self._loop.debugger = debugger
        self.bus.on_dma = debugger.device_wrote
        self._loop.changes.on_write = debugger.changed

    def registers(self) -> tuple[int, ...]:
        """Every register, as a debugger reads them: looking disturbs nothing."""
        return Standing(self.arch, self.cpu, self.memory, self.clock).raw_registers()

    def page_digests(self, pages: Iterable[int]) -> dict[int, bytes]:
        """The digest of each page that is named, by page number."""
        return {number: xxh3_128_digest(self.memory.page(number)) for number in pages}

    def granule_digests(self, granules: Iterable[int] | None = None) -> dict[int, bytes]:
        """The digest of each MiB of memory that is named, by number; of each that was ever touched and is not zero."""
        if granules is not None:
            return {number: self._granule_digest(number) for number in granules}
        touched = {
            number
            for start, end in self.memory.extents()
            for number in range(start // GRANULE_BYTES, -(-end // GRANULE_BYTES))
        }
        found = {number: self._granule_digest(number) for number in touched}
        return {number: digest for number, digest in found.items() if digest != ZERO_GRANULE}

    def _granule_digest(self, number: int) -> bytes:
        granule = self.memory.view[number * GRANULE_BYTES : (number + 1) * GRANULE_BYTES]
        # The last one may be shorter, and is hashed as if zeros followed.
        return xxh3_128_digest(granule if len(granule) == GRANULE_BYTES else bytes(granule).ljust(GRANULE_BYTES, b"\0"))

    def digest_of(self, pages: Iterable[int]) -> str:
        """One digest of the registers and some pages."""
        whole = xxh3_128(repr(self.registers()).encode())
        for number in pages:
            whole.update(self.memory.page(number))
        return whole.hexdigest()

    def instruction(self) -> dict[str, object]:
        """The instruction that comes next: its address and its words, and the names of the registers."""
        values = self.registers()
        inspect = self.arch.inspect
        pc = values[inspect.names.index(inspect.pc)]
        physical = inspect.physical(values, pc, self.memory.read)
        code = b"" if physical is None else self.memory.read(physical, CODE_BYTES)
        return {"pc": pc, "instruction": inspect.disassemble(code, pc), "names": inspect.names}
