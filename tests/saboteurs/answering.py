"""What the saboteur devices have in common: one register, at offset 0, whose value comes from `answer()`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from machine.vmstate import vmstate

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.model import DeviceContext
    from machine.message import HostEvent


@vmstate("test-saboteur", 1)
@dataclass(slots=True)
class SaboteurState:
    """How often it was asked; the dishonest part is not in the state."""

    asked: int = 0


class Answering:
    """A device that answers every load from a function that may cheat."""

    def __init__(self, answer: Callable[[], int]) -> None:
        self.state = SaboteurState()
        self._answer = answer

    def reset(self, context: DeviceContext) -> None:
        """Power-on."""
        self.state = SaboteurState()

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """Offset 0 answers, all else is 0."""
        if offset:
            return 0
        self.state.asked += 1
        return self._answer() & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """Nothing is stored."""

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """There is no queue."""

    def settle(self, context: DeviceContext) -> None:
        """There is nothing to drive."""

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """There is no backend."""

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """There are no timers."""

    def input_room(self) -> int:
        """Nothing comes in."""
        return 0
