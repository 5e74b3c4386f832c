"""A device that copies guest memory, for guests that must notice what a device writes (tests/guests/dma.c).

Five 64-bit registers: SRC, DST, LEN, GO (a store of 1 copies at once), STATUS (1 once a copy is done; the
load clears it and lowers the interrupt).  LEN is at most 1 MiB; what is beyond is not copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.model import DeviceSpec
from devices.options import without_options
from machine.message import Register, WriteKind
from machine.vmstate import vmstate

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from machine.message import HostEvent

SRC: Final = 0x00
DST: Final = 0x08
LEN: Final = 0x10
GO: Final = 0x18
STATUS: Final = 0x20
LONGEST_COPY: Final = 1 << 20
_ALL: Final = (1 << 64) - 1


@vmstate("test-dmacopy", 1)
@dataclass(slots=True)
class DmaCopyState:
    """The registers, and the interrupt line as last driven."""

    source: int = 0
    destination: int = 0
    length: int = 0
    done: bool = False
    interrupt: bool = False


class DmaCopy:
    """The copier.  Its operands are posted, so that a batch of stores precedes the call that copies."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = DmaCopyState()

    def reset(self, context: DeviceContext) -> None:
        """Power-on."""
        self.state = DmaCopyState(interrupt=self.state.interrupt)
        context.set_registers([Register(offset, write=WriteKind.POSTED) for offset in (SRC, DST, LEN)])

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """A load; anything but the five registers is 0."""
        s = self.state
        match offset:
            case 0x00:
                return s.source
            case 0x08:
                return s.destination
            case 0x10:
                return s.length
            case 0x20:
                value = int(s.done)
                s.done = False
                return value
            case _:
                return 0

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """A store of the whole register."""
        value &= _ALL
        s = self.state
        match offset:
            case 0x00:
                s.source = value
            case 0x08:
                s.destination = value
            case 0x10:
                s.length = value
            case 0x18 if value & 1:
                length = min(s.length, LONGEST_COPY)
                context.dma_write(s.destination, context.dma_read(s.source, length))
                s.done = True
            case _:
                pass

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """There is no queue."""

    def settle(self, context: DeviceContext) -> None:
        """The interrupt says that a copy is done."""
        if self.state.done != self.state.interrupt:
            self.state.interrupt = self.state.done
            context.set_irq(self.state.done)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """There is no backend."""

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """There are no timers."""

    def input_room(self) -> int:
        """Nothing comes in."""
        return 0


SPEC = DeviceSpec("dmacopy", "copies guest memory", without_options(DmaCopy), "none")
