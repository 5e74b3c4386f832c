"""How the CPU node is to treat the controller's registers: what never changes is told once, what does when it does.

Capability registers, status and ports are answered by the CPU node; doorbells are gathered, as a doorbell needs no
answer; every other store is a call, because it may move the interrupt line or the device must act on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.usb import registers as r
from machine.message import ReadKind, Register, WriteKind

if TYPE_CHECKING:
    from devices.usb.state import XhciState

CHANGING: Final = (
    r.USB_COMMAND,
    r.USB_STATUS,
    r.INTERRUPT_MANAGEMENT,
    r.EVENT_DEQUEUE,
    r.EVENT_DEQUEUE_HIGH,
    *range(r.PORTS, r.PORTS_END, r.PORT_BYTES),
)
"""Registers whose value is announced whenever it changes."""
ALL_BITS: Final = 0xFFFF_FFFF
_VERSION: Final = r.CAPABILITIES[r.CAP_LENGTH] >> 16


def constant_rows() -> list[Register]:
    """The treatment that holds for ever."""
    shadow = ReadKind.SHADOW
    rows = [Register(offset, shadow, value=value) for offset, value in sorted(r.CAPABILITIES.items())]
    rows.append(Register(r.HCI_VERSION, shadow, value=_VERSION))
    rows.append(Register(r.PAGE_SIZE, shadow, value=1))
    doorbells = range(r.DOORBELLS, r.DOORBELLS_END, 4)
    return rows + [Register(offset, shadow, WriteKind.POSTED) for offset in doorbells]


def values(state: XhciState) -> tuple[int, ...]:
    """The values of CHANGING; a load of the lower half of ERDP may be one of all of it."""
    interrupter = state.interrupter
    return (
        state.command,
        state.status,
        interrupter.management,
        interrupter.dequeue,
        interrupter.dequeue >> 32,
        *(port.status for port in state.ports),
    )


def changed_rows(now: tuple[int, ...], announced: tuple[int, ...]) -> list[Register]:
    """The rows of those whose value is not what was announced."""
    old = announced or (None,) * len(now)
    pairs = zip(CHANGING, now, old, strict=True)
    return [_row(offset, value) for offset, value, before in pairs if value != before]


def _row(offset: int, value: int) -> Register:
    """A store of 0 to the upper half of ERDP where it is 0 says nothing, and comes with every other one."""
    if offset == r.EVENT_DEQUEUE_HIGH and not value:
        return Register(offset, ReadKind.SHADOW, WriteKind.POSTED, call_mask=ALL_BITS)
    return Register(offset, ReadKind.SHADOW, value=value)
