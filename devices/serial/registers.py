"""The register map of the 16550A (TI TL16C550C data sheet, Register Summary) as numbers."""

from __future__ import annotations

from typing import Final

DATA: Final = 0
"""RBR on a load, THR on a store, DLL while DLAB is set."""
INTERRUPT_ENABLE: Final = 1
"""IER, DLM while DLAB is set."""
INTERRUPT_ID: Final = 2
"""IIR on a load, FCR on a store."""
LINE_CONTROL: Final = 3
MODEM_CONTROL: Final = 4
LINE_STATUS: Final = 5
MODEM_STATUS: Final = 6
SCRATCH: Final = 7
REGISTERS: Final = 8

# IER: which sources may raise the line.
IER_RECEIVED: Final = 0x01
IER_TRANSMIT: Final = 0x02
IER_LINE: Final = 0x04
IER_MODEM: Final = 0x08
IER_MASK: Final = 0x0F

# IIR: the source with the highest priority.
IIR_NONE: Final = 0x01
IIR_MODEM: Final = 0x00
IIR_TRANSMIT: Final = 0x02
IIR_RECEIVED: Final = 0x04
IIR_LINE: Final = 0x06
IIR_TIMEOUT: Final = 0x0C
IIR_FIFO: Final = 0xC0

FCR_ENABLE: Final = 0x01
FCR_CLEAR_RECEIVER: Final = 0x02
FCR_CLEAR_TRANSMITTER: Final = 0x04
FCR_KEPT: Final = 0xC9
"""What is remembered of FCR: trigger level, DMA mode, enable."""
TRIGGER_LEVELS: Final = (1, 4, 8, 14)
"""Bytes at which the received-data interrupt rises, by FCR bits 7:6."""

LCR_DIVISOR: Final = 0x80

MCR_LOOPBACK: Final = 0x10
MCR_MASK: Final = 0x1F

LSR_DATA: Final = 0x01
LSR_OVERRUN: Final = 0x02
LSR_BREAK: Final = 0x10
LSR_HOLDING_EMPTY: Final = 0x20
LSR_ALL_SENT: Final = 0x40

# MSR: the lines in the upper half, what changed since the last load in the lower.
MSR_CTS: Final = 0x10
MSR_DSR: Final = 0x20
MSR_RING: Final = 0x40
MSR_CARRIER: Final = 0x80
MSR_LINES: Final = 0xF0
MSR_DELTAS: Final = 0x0F
MSR_RING_DELTA: Final = 0x04
"""TERI: set only when the ring line falls, unlike the other three."""
