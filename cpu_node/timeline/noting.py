"""Notes who writes to a range of memory while a part of a recording is replayed: a debugger that never holds the CPU.

Lives here: from the engine's watchpoints to an analysis.  Never here: what it makes of them (machine/analysis/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node._engine import HIT_WRITE
from cpu_node.debugger import Debugger, Order, Standing, Stop, Why
from machine.analysis.base import Write

if TYPE_CHECKING:
    from cpu_node.timeline.player import Player
    from machine.analysis.base import Analysis


class Noter(Debugger):
    """Has an analysis hear of every write to what it watches, behind the write."""

    def __init__(self, player: Player, analysis: Analysis, watched: tuple[int, int]) -> None:
        """`watched`: first byte and how many of guest physical memory."""
        super().__init__(Standing(player.arch, player.cpu, player.memory, player.clock), player.cpu)
        self._player = player
        self._analysis = analysis
        address, size = watched
        self.standing.set_points((), ((address, address + size - 1, HIT_WRITE),))
        self.interrupted = True  # before the first instruction, so that the engine is told how to go on
        player.attend(self)

    def attend(self) -> None:
        """Nobody asks for a stop."""

    def stand(self, stop: Stop) -> Order:
        """Tell the write, and go on."""
        hit = stop.hit
        if stop.why is Why.WATCH and hit is not None:
            self._analysis.written(self._player, Write(hit.icount, hit.pc, hit.address, hit.size, hit.device))
        return Order()
