"""The events that tell of a transfer descriptor's end (xHCI 4.10.1, 4.11.5.2, 6.4.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.usb.buffers import size_of
from devices.usb.trb import (
    BLOCK_INTERRUPT,
    EVENT_DATA,
    INTERRUPT_ON_COMPLETION,
    SHORT_PACKET_INTERRUPT,
    Completion,
    Trb,
    TrbType,
    event,
)

if TYPE_CHECKING:
    from devices.usb.interrupter import Interrupter
    from devices.usb.trb import Td

GOOD: Final = (Completion.SUCCESS, Completion.SHORT_PACKET)


class Report:
    """Tells of one TD of one endpoint of one slot."""

    def __init__(self, interrupter: Interrupter, slot: int, endpoint: int) -> None:
        self._interrupter = interrupter
        self._where = slot << 24 | endpoint << 16

    def ended(self, td: Td, moved: int, completion: Completion) -> None:
        """The TD has ended with `moved` bytes moved."""
        if completion in GOOD:
            self._succeeded(td, moved, completion)
        else:
            trb, residue = place(td, moved)
            self._tell(trb, trb.address, completion, residue)

    def stopped(self, td: Td, moved: int) -> Trb:
        """The endpoint has been stopped under way; the block where."""
        trb, residue = place(td, moved)
        self._tell(trb, trb.address, Completion.STOPPED, residue)
        return trb

    def _succeeded(self, td: Td, moved: int, completion: Completion) -> None:
        """Blocks that ask for it are told of; from the short packet on, one block at most."""
        left, accumulated, short, told = moved, 0, False, False
        for trb in td.trbs:
            code = Completion.SHORT_PACKET if short else Completion.SUCCESS
            if trb.type == TrbType.EVENT_DATA:
                if trb.control & INTERRUPT_ON_COMPLETION:
                    self._tell(trb, trb.parameter, code, accumulated, EVENT_DATA)
                accumulated = 0
                continue
            size = size_of(trb)
            part = min(size, left)
            left -= part
            accumulated += part
            if completion is Completion.SHORT_PACKET and part < size:
                short, code = True, completion
            wanted = INTERRUPT_ON_COMPLETION | (SHORT_PACKET_INTERRUPT if short else 0)
            if trb.control & wanted and not told:
                self._tell(trb, trb.address, code, size - part)
                told = short

    def _tell(self, trb: Trb, pointer: int, code: Completion, length: int, flags: int = 0) -> None:
        quiet = bool(trb.control & BLOCK_INTERRUPT) and code in GOOD
        self._interrupter.put(event(TrbType.TRANSFER_EVENT, pointer, code, length, self._where | flags), quiet)


def place(td: Td, moved: int) -> tuple[Trb, int]:
    """The block in which a transfer stands after `moved` bytes, and how many of its bytes are not moved."""
    left = moved
    last = td.trbs[0]
    for trb in td.trbs:
        if trb.type == TrbType.EVENT_DATA:
            continue
        size = size_of(trb)
        if left < size:
            return trb, size - left
        left -= size
        last = trb
    return last, 0
