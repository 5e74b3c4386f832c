"""The register map of an xHCI 1.1 controller (Intel, eXtensible Host Controller Interface, section 5) as numbers.

One page: capability registers at 0, operational at 0x40, ports at 0x440, runtime at 0x600, doorbells at 0x800,
extended capabilities at 0x900.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from devices.usb.messages import PORTS as SOCKETS

MAX_SLOTS: Final = 32
MAX_PORTS: Final = 2 * SOCKETS
"""Each socket has a USB 2.0 port, numbered as the socket, and a USB 3.0 port, SOCKETS further on."""

# Capability registers (5.3), all read-only.
CAP_LENGTH: Final = 0x00
"""CAPLENGTH in bits 7:0, HCIVERSION in bits 31:16."""
HCI_VERSION: Final = 0x02
HCS_PARAMS_1: Final = 0x04
HCS_PARAMS_2: Final = 0x08
HCS_PARAMS_3: Final = 0x0C
HCC_PARAMS_1: Final = 0x10
DOORBELL_OFFSET: Final = 0x14
RUNTIME_OFFSET: Final = 0x18
HCC_PARAMS_2: Final = 0x1C

# Operational registers (5.4).
USB_COMMAND: Final = 0x40
USB_STATUS: Final = 0x44
PAGE_SIZE: Final = 0x48
NOTIFICATION_CONTROL: Final = 0x54
COMMAND_RING: Final = 0x58
"""CRCR, 64 bits."""
COMMAND_RING_HIGH: Final = 0x5C
CONTEXT_ARRAY: Final = 0x70
"""DCBAAP, 64 bits."""
CONTEXT_ARRAY_HIGH: Final = 0x74
CONFIGURE: Final = 0x78
PORTS: Final = 0x440
PORT_BYTES: Final = 0x10
PORTS_END: Final = PORTS + MAX_PORTS * PORT_BYTES
# Within a port's four registers.
PORT_STATUS: Final = 0x0
PORT_POWER: Final = 0x4
PORT_LINK: Final = 0x8
PORT_LPM: Final = 0xC

# Runtime registers (5.5): one interrupter.
MICROFRAME_INDEX: Final = 0x600
INTERRUPT_MANAGEMENT: Final = 0x620
INTERRUPT_MODERATION: Final = 0x624
EVENT_TABLE_SIZE: Final = 0x628
EVENT_TABLE: Final = 0x630
"""ERSTBA, 64 bits."""
EVENT_TABLE_HIGH: Final = 0x634
EVENT_DEQUEUE: Final = 0x638
"""ERDP, 64 bits."""
EVENT_DEQUEUE_HIGH: Final = 0x63C
WIDE: Final = (COMMAND_RING, CONTEXT_ARRAY, EVENT_TABLE, EVENT_DEQUEUE)
"""The registers of 64 bits."""

DOORBELLS: Final = 0x800
DOORBELLS_END: Final = DOORBELLS + 4 * (MAX_SLOTS + 1)
EXTENDED: Final = 0x900
WINDOW_BYTES: Final = 0x1000
"""What the registers need of the bus."""

# USBCMD.
CMD_RUN: Final = 1 << 0
CMD_RESET: Final = 1 << 1
CMD_INTERRUPTS: Final = 1 << 2
CMD_SAVE: Final = 1 << 8
CMD_RESTORE: Final = 1 << 9
CMD_WRAP_EVENTS: Final = 1 << 10
CMD_KEPT: Final = CMD_RUN | CMD_INTERRUPTS | 1 << 3 | CMD_WRAP_EVENTS | 1 << 11
"""What a store changes and a load shows: R/S, INTE, HSEE, EWE, EU3S."""

# USBSTS.
STS_HALTED: Final = 1 << 0
STS_HOST_ERROR: Final = 1 << 2
STS_EVENT: Final = 1 << 3
STS_PORT_CHANGE: Final = 1 << 4
STS_RESTORE_ERROR: Final = 1 << 10
STS_CONTROLLER_ERROR: Final = 1 << 12
STS_CLEARED: Final = STS_HOST_ERROR | STS_EVENT | STS_PORT_CHANGE | STS_RESTORE_ERROR
"""Cleared by storing ones."""

# CRCR.
RING_CYCLE: Final = 1 << 0
RING_STOP: Final = 1 << 1
RING_ABORT: Final = 1 << 2
RING_RUNNING: Final = 1 << 3

# PORTSC.
PORT_CONNECTED: Final = 1 << 0
PORT_ENABLED: Final = 1 << 1
PORT_RESET: Final = 1 << 4
PORT_LINK_SHIFT: Final = 5
PORT_LINK_MASK: Final = 0xF << PORT_LINK_SHIFT
PORT_POWERED: Final = 1 << 9
PORT_SPEED_SHIFT: Final = 10
PORT_SPEED_MASK: Final = 0xF << PORT_SPEED_SHIFT
PORT_LINK_STROBE: Final = 1 << 16
PORT_CONNECT_CHANGE: Final = 1 << 17
PORT_ENABLE_CHANGE: Final = 1 << 18
PORT_WARM_RESET_CHANGE: Final = 1 << 19
PORT_RESET_CHANGE: Final = 1 << 21
PORT_LINK_CHANGE: Final = 1 << 22
PORT_CHANGES: Final = 0x7F << 17
"""CSC, PEC, WRC, OCC, PRC, PLC, CEC: cleared by storing ones."""
PORT_KEPT: Final = 0x3 << 14 | 0x7 << 25
"""Read-write bits without an effect: PIC, WCE, WDE, WOE."""
PORT_WARM_RESET: Final = 1 << 31

# PORTSC.PLS.
LINK_U0: Final = 0
LINK_U3: Final = 3
LINK_DISABLED: Final = 4
LINK_RX_DETECT: Final = 5
LINK_POLLING: Final = 7
LINK_RESUME: Final = 15

# Speed ids of the Supported Protocol capabilities' default (7.2.2.1.1).
SPEED_FULL: Final = 1
SPEED_LOW: Final = 2
SPEED_HIGH: Final = 3
SPEED_SUPER: Final = 4

# IMAN, ERDP.
INTERRUPT_PENDING: Final = 1 << 0
INTERRUPT_ENABLED: Final = 1 << 1
HANDLER_BUSY: Final = 1 << 3
DEQUEUE_SEGMENT: Final = 0x7
MODERATION_UNIT_NS: Final = 250
MICROFRAME_NS: Final = 125_000
MICROFRAME_MASK: Final = 0x3FFF

LARGEST_EVENT_TABLE: Final = 8
"""Log2 of the entries of an event ring segment table (HCSPARAMS2.ERST Max)."""

CAPABILITIES: Final[Mapping[int, int]] = {
    CAP_LENGTH: 0x40 | 0x0110 << 16,
    HCS_PARAMS_1: MAX_SLOTS | 1 << 8 | MAX_PORTS << 24,
    HCS_PARAMS_2: LARGEST_EVENT_TABLE << 4,
    HCS_PARAMS_3: 0,
    # AC64: addresses have 64 bits.  Contexts have 32 bytes, no streams, ports always powered.
    HCC_PARAMS_1: 1 | EXTENDED >> 2 << 16,
    DOORBELL_OFFSET: DOORBELLS,
    RUNTIME_OFFSET: MICROFRAME_INDEX,
    HCC_PARAMS_2: 0,
    # Supported Protocol (7.2): id, next, minor, major; "USB "; first port, count; slot type.
    EXTENDED: 2 | 4 << 8 | 0x0200 << 16,
    EXTENDED + 0x4: 0x2042_5355,
    EXTENDED + 0x8: 1 | SOCKETS << 8,
    EXTENDED + 0xC: 0,
    EXTENDED + 0x10: 2 | 0 << 8 | 0x0300 << 16,
    EXTENDED + 0x14: 0x2042_5355,
    EXTENDED + 0x18: SOCKETS + 1 | SOCKETS << 8,
    EXTENDED + 0x1C: 0,
}
"""Registers whose value never changes."""
