"""A device that counts its own ticks in guest memory: what a device stores at sync points, without an interrupt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.base import DeviceBase
from devices.model import DeviceSpec
from devices.options import without_options
from machine.vmstate import vmstate

if TYPE_CHECKING:
    from devices.model import DeviceContext

ADDRESS: Final = 0x8300_0000
"""Where the count is, 8 bytes."""
PERIOD_NS: Final = 20_000


@vmstate("test-ticker", 1)
@dataclass(slots=True)
class TickerState:
    """Ticks so far."""

    ticks: int = 0


class Ticker(DeviceBase[TickerState]):
    """Has no registers."""

    def reset(self, context: DeviceContext) -> None:
        """Power-on: the first tick is a period away."""
        super().reset(context)
        context.arm_timer(0, PERIOD_NS)

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """A tick."""
        self.state.ticks += 1
        context.dma_write(ADDRESS, self.state.ticks.to_bytes(8, "little"))
        context.arm_timer(0, PERIOD_NS)


SPEC = DeviceSpec("ticker", "counts its ticks in guest memory", without_options(lambda: Ticker(TickerState())), "none")
