"""What a device need not say when it has nothing to say: a model that ignores everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from machine.message import HostEvent

S = TypeVar("S")


class DeviceBase(Generic[S]):
    """devices/model.py, DeviceModel, with no registers, no queue, no timers and no backend.

    `state` is the heir's, a vmstate with a default for each field; if it has a field `interrupt`, that is the level
    of the line as last driven.
    """

    def __init__(self, state: S) -> None:
        self.state = state

    def reset(self, context: DeviceContext) -> None:
        """The initial state; the line stays as it was driven until settle() drives it."""
        driven = {"interrupt": self.state.interrupt} if hasattr(self.state, "interrupt") else {}
        self.state = type(self.state)(**driven)

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """Registers that do not exist read as 0."""
        return 0

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """Registers that do not exist take everything."""

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """There is no queue."""

    def settle(self, context: DeviceContext) -> None:
        """Nothing is driven."""

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Nobody is listened to."""

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """There are no timers."""

    def input_room(self) -> int:
        """Nothing comes in."""
        return 0
