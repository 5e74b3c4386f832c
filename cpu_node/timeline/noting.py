"""Notes who writes to a range of memory while a part of a recording is replayed: a debugger that never holds the CPU.

Lives here: from the engine's watchpoints to an analysis.  Never here: what it makes of them (machine/analysis/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpu_node._engine import HIT_DEVICE, HIT_WRITE
from cpu_node.debugger import Debugger, Hit, Order, Standing, Stop, Why
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

    def device_wrote(self, device: str, address: int, size: int, in_access: bool) -> None:
        """Tell it at once: where the CPU stands, devices may write several times."""
        super().device_wrote(device, address, size, in_access)
        hit, self._device_hit = self._device_hit, None
        if hit is not None:
            self._tell(hit)

    def stand(self, stop: Stop) -> Order:
        """Tell what the CPU has written, and go on."""
        if stop.why is Why.WATCH and stop.hit is not None and not stop.hit.kind & HIT_DEVICE:
            self._tell(stop.hit)
        return Order()

    def _tell(self, hit: Hit) -> None:
        self._analysis.written(self._player, Write(hit.icount, hit.pc, hit.address, hit.size, hit.device))
