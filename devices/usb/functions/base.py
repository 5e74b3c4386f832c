"""What every device on the bus is: the protocol between the controller and a device.

Lives here: how an attempt at a transfer ends, a device's way to its backend.
Never here: rings, registers; what a request means.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.usb.functions.chapter9 import Setup
    from devices.usb.messages import What
    from machine.message import BackendResult

FIRST_FUNCTION_TIMER: Final = 16
"""The timer of the device in socket n is FIRST_FUNCTION_TIMER + n."""


class Verdict(Enum):
    """How an attempt at a transfer ended."""

    DONE = "done"
    NAK = "not now"
    STALL = "stall"
    BABBLE = "more than fits"
    ERROR = "no answer"


class Outcome(NamedTuple):
    """What an attempt at a transfer has brought.

    IN: `data` came, and `last` says that a short packet ended it.  OUT: `taken` bytes went.
    """

    verdict: Verdict
    data: bytes = b""
    taken: int = 0
    last: bool = False


NAK: Final = Outcome(Verdict.NAK)
STALL: Final = Outcome(Verdict.STALL)
BABBLE: Final = Outcome(Verdict.BABBLE)
ERROR: Final = Outcome(Verdict.ERROR)
ACK: Final = Outcome(Verdict.DONE)


class Wire:
    """A device's way to its backend, for the length of one message."""

    def __init__(self, port: int, context: DeviceContext) -> None:
        self.port = port
        self._context = context

    def send(self, message: bytes) -> BackendResult:
        """Give the backend a whole message of messages.py, its port included."""
        return self._context.output(message)

    def arm(self, delay_ns: int) -> None:
        """Have the device's expired() called."""
        self._context.arm_timer(FIRST_FUNCTION_TIMER + self.port, delay_ns)

    def cancel(self) -> None:
        """Disarm that."""
        self._context.cancel_timer(FIRST_FUNCTION_TIMER + self.port)


class Function(Protocol):
    """A device on the bus.  An attempt that ends in NAK is made again, the same, when something may have changed."""

    @property
    def speed(self) -> int:
        """An xHCI speed id."""

    @property
    def wakes(self) -> bool:
        """It may wake a suspended port, and wants to."""

    def reset(self) -> None:
        """The port has been reset: nothing is configured, nothing under way."""

    def control(self, setup: Setup, data: bytes) -> Outcome:
        """Carry out a request; `data` is an OUT request's data stage."""

    def send(self, endpoint: int, data: bytes) -> Outcome:
        """OUT: the host's bytes for an endpoint, as many as are left of its transfer."""

    def fetch(self, endpoint: int, length: int) -> Outcome:
        """IN: at most so many bytes of an endpoint."""

    def cancel(self, address: int) -> None:
        """The attempt under way at an endpoint (number, with IN) is not made again."""

    def unplugged(self) -> None:
        """The last thing it is told."""

    def input(self, what: What, data: bytes) -> None:
        """Something from its backend."""

    def expired(self) -> None:
        """Its timer has run out."""


def reply(data: bytes, setup: Setup) -> Outcome:
    """The answer to an IN request, cut to what was asked for."""
    return Outcome(Verdict.DONE, data[: setup.length], last=True)
