"""The breakpoints and watchpoints that gdb has set, and what they are to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cpu_node._engine import HIT_BREAK, HIT_READ, HIT_WRITE, MAX_BREAKS, MAX_WATCHES

if TYPE_CHECKING:
    from cpu_node.debugger import Hit, Watch
    from cpu_node.gdbstub.addresses import Addresses

SOFTWARE, HARDWARE, WRITE, READ, ACCESS = range(5)
_KINDS: Final = {WRITE: HIT_WRITE, READ: HIT_READ, ACCESS: HIT_READ | HIT_WRITE}
_NAMES: Final = {WRITE: "watch", READ: "rwatch", ACCESS: "awatch"}
LONGEST_WATCH: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """One of gdb's: `pieces` is the physical memory that its address meant when it was set."""

    kind: int
    address: int
    size: int
    pieces: tuple[tuple[int, int], ...]

    def covers(self, hit: Hit) -> int | None:
        """gdb's address of the first byte that was reached, None if none was."""
        if not hit.kind & _KINDS[self.kind]:
            return None
        at = self.address
        for start, size in self.pieces:
            if hit.address < start + size and hit.address + hit.size > start:
                return at + max(0, hit.address - start)
            at += size
        return None


class Points:
    """What gdb's Z and z packets leave."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._breaks: dict[tuple[int, int], None] = {}
        self._watches: dict[tuple[int, int, int], Watchpoint] = {}

    def insert(self, kind: int, address: int, size: int) -> bool:
        """Set one; False where it cannot be: no memory is there, or it is too much."""
        if kind in (SOFTWARE, HARDWARE):
            if len(self._breaks) >= MAX_BREAKS:
                return False
            self._breaks[kind, address] = None
            return True
        if not 0 < size <= LONGEST_WATCH:
            return False
        key = (kind, address, size)
        if key not in self._watches:
            pieces = self._addresses.stretches(address, size)
            if sum(length for _, length in pieces) < size or len(self.watches) + len(pieces) > MAX_WATCHES:
                return False
            self._watches[key] = Watchpoint(kind, address, size, pieces)
        return True

    def remove(self, kind: int, address: int, size: int) -> None:
        """Take one away; gdb may ask twice."""
        if kind in (SOFTWARE, HARDWARE):
            self._breaks.pop((kind, address), None)
        else:
            self._watches.pop((kind, address, size), None)

    def clear(self) -> None:
        """Nothing is set."""
        self._breaks.clear()
        self._watches.clear()

    @property
    def breaks(self) -> tuple[int, ...]:
        """Virtual addresses."""
        return tuple(sorted({address for _, address in self._breaks}))

    @property
    def watches(self) -> tuple[Watch, ...]:
        """Ranges of physical memory."""
        return tuple(
            (start, start + size - 1, _KINDS[watch.kind])
            for watch in self._watches.values()
            for start, size in watch.pieces
        )

    def reason(self, hit: Hit) -> str:
        """How a stop reply names what was met."""
        if hit.kind == HIT_BREAK:
            return "swbreak:;" if (SOFTWARE, hit.address) in self._breaks else "hwbreak:;"
        for watch in self._watches.values():
            if (address := watch.covers(hit)) is not None:
                return f"{_NAMES[watch.kind]}:{address:x};"
        return ""
