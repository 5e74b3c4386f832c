"""Everything a 16550A remembers.  Where its bytes go is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.serial import registers as r
from machine.bounds import U8, U16, Count
from machine.vmstate import vmstate

FIFO_BYTES: Final = 256
"""Depth of both FIFOs; the 16550A's 16 would cost an interrupt every 16 bytes."""
TRANSMIT_LIMIT: Final = 1 << 16
"""Bytes kept for a backend that takes none; what a guest stores beyond it without looking at LSR is lost."""


@vmstate("serial16550", 1)
@dataclass(slots=True)
class SerialState:
    """Registers, both queues, the interrupt line, and what the CPU node has been told of them."""

    divisor: U16 = 12
    interrupt_enable: U8 = 0
    fifo_control: U8 = 0
    line_control: U8 = 0
    modem_control: U8 = 0
    scratch: U8 = 0
    modem_lines: U8 = r.MSR_CARRIER | r.MSR_DSR | r.MSR_CTS
    modem_deltas: U8 = 0
    carrier: bool = True
    """Somebody is at the other end of the line."""
    received: bytes = b""
    """Bytes the guest has not taken, the oldest first."""
    mirrored: Count = 0
    """How many of `received` the CPU node holds in its queue, from the first on."""
    breaks: tuple[Count, ...] = ()
    """Where in `received` the zero bytes of break conditions stand."""
    overrun: bool = False
    transmit: bytes = b""
    """Bytes the backend has not taken, the oldest first."""
    holding_full: bool = False
    """THR holds a byte: LSR.THRE is clear."""
    blocked: bool = False
    """The backend took less than it was given; it says when it takes more."""
    transmit_pending: bool = False
    """The interrupt that says that THR has become empty."""
    dropped: Count = 0
    """Bytes that nobody took: the backend failed or the guest did not wait."""
    interrupt: bool = False
    """The level of the interrupt line, as last driven."""
    announced: bytes = b""
    """The register treatment as last announced (devices/serial/treatment.py)."""

    @property
    def divisor_access(self) -> bool:
        """LCR.DLAB: offsets 0 and 1 are the divisor."""
        return bool(self.line_control & r.LCR_DIVISOR)

    @property
    def loopback(self) -> bool:
        """MCR bit 4: the transmitter feeds the receiver."""
        return bool(self.modem_control & r.MCR_LOOPBACK)

    @property
    def fifo_enabled(self) -> bool:
        """FCR bit 0; without it the device is a 16450 that holds one byte."""
        return bool(self.fifo_control & r.FCR_ENABLE)

    @property
    def capacity(self) -> int:
        """Bytes the receiver holds."""
        return FIFO_BYTES if self.fifo_enabled else 1

    @property
    def trigger_level(self) -> int:
        """Received bytes from which on the interrupt is not the time-out's."""
        return r.TRIGGER_LEVELS[self.fifo_control >> 6] if self.fifo_enabled else 1

    @property
    def line_errors(self) -> int:
        """The bits of LSR that a load of LSR clears."""
        value = r.LSR_OVERRUN if self.overrun else 0
        return value | (r.LSR_BREAK if 0 in self.breaks else 0)

    @property
    def line_status(self) -> int:
        """LSR."""
        value = self.line_errors | (r.LSR_DATA if self.received else 0)
        if not self.holding_full:
            value |= r.LSR_HOLDING_EMPTY | (0 if self.transmit else r.LSR_ALL_SENT)
        return value

    @property
    def interrupt_id(self) -> int:
        """The low four bits of IIR: the enabled source with the highest priority."""
        enabled = self.interrupt_enable
        if enabled & r.IER_LINE and self.line_errors:
            return r.IIR_LINE
        if enabled & r.IER_RECEIVED and self.received:
            # The time-out is not waited for: bytes below the trigger level are announced at once.
            return r.IIR_RECEIVED if len(self.received) >= self.trigger_level else r.IIR_TIMEOUT
        if enabled & r.IER_TRANSMIT and self.transmit_pending:
            return r.IIR_TRANSMIT
        if enabled & r.IER_MODEM and self.modem_deltas:
            return r.IIR_MODEM
        return r.IIR_NONE
