"""A doorbell: each byte from its backend is a press; COUNT says how many, a store to ACK takes that many away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.base import DeviceBase
from devices.model import DeviceSpec
from devices.options import without_options
from machine.message import HostEvent
from machine.vmstate import vmstate

if TYPE_CHECKING:
    from devices.model import DeviceContext

COUNT, ACK, MOST = 0x00, 0x04, 1000


@vmstate("example-button", 1)
@dataclass(slots=True)
class ButtonState:
    """Presses nobody has acknowledged yet, and the interrupt line as last driven."""

    presses: int = 0
    interrupt: bool = False


class Button(DeviceBase[ButtonState]):
    """The doorbell.  Every access is a call; only its state decides what happens."""

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """COUNT; anything else is 0."""
        return self.state.presses if offset == COUNT else 0

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """ACK; anything else is ignored."""
        if offset == ACK:
            self.state.presses -= min(value, self.state.presses)

    def settle(self, context: DeviceContext) -> None:
        """The interrupt says that somebody waits at the door."""
        if self.state.interrupt != bool(self.state.presses):
            self.state.interrupt = bool(self.state.presses)
            context.set_irq(self.state.interrupt)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Presses, and an answer through the letter box for each."""
        if event is HostEvent.DATA:
            self.state.presses += len(data)
            context.output(b"ding\n" * len(data))

    def input_room(self) -> int:
        """Nobody rings a thousand times."""
        return MOST - self.state.presses


SPEC = DeviceSpec("button", "a doorbell", without_options(lambda: Button(ButtonState())), "char")
