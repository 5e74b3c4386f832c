"""The register map of the virtio MMIO transport, version 2 (VIRTIO 1.2, 4.2.2), and the bits all devices share."""

from __future__ import annotations

from typing import Final

MAGIC_VALUE: Final = 0x000
VERSION: Final = 0x004
DEVICE_ID: Final = 0x008
VENDOR_ID: Final = 0x00C
DEVICE_FEATURES: Final = 0x010
DEVICE_FEATURES_SEL: Final = 0x014
DRIVER_FEATURES: Final = 0x020
DRIVER_FEATURES_SEL: Final = 0x024
QUEUE_SEL: Final = 0x030
QUEUE_NUM_MAX: Final = 0x034
QUEUE_NUM: Final = 0x038
QUEUE_READY: Final = 0x044
QUEUE_NOTIFY: Final = 0x050
INTERRUPT_STATUS: Final = 0x060
INTERRUPT_ACK: Final = 0x064
STATUS: Final = 0x070
QUEUE_DESC_LOW: Final = 0x080
QUEUE_DESC_HIGH: Final = 0x084
QUEUE_DRIVER_LOW: Final = 0x090
QUEUE_DRIVER_HIGH: Final = 0x094
QUEUE_DEVICE_LOW: Final = 0x0A0
QUEUE_DEVICE_HIGH: Final = 0x0A4
SHM_SEL: Final = 0x0AC
SHM_LEN_LOW: Final = 0x0B0
SHM_LEN_HIGH: Final = 0x0B4
SHM_BASE_LOW: Final = 0x0B8
SHM_BASE_HIGH: Final = 0x0BC
CONFIG_GENERATION: Final = 0x0FC
CONFIG: Final = 0x100
"""The device's configuration space begins here; its fields may be narrower than 32 bits."""

MAGIC: Final = 0x74726976
"""`virt`, little-endian."""
MMIO_VERSION: Final = 2
VENDOR: Final = 0x4D564A44
"""`DJVM`, little-endian."""
NO_SHARED_MEMORY: Final = 0xFFFF_FFFF
"""Length and base of a shared memory region that does not exist, each half."""

# Status (2.1).
STATUS_ACKNOWLEDGE: Final = 0x01
STATUS_DRIVER: Final = 0x02
STATUS_DRIVER_OK: Final = 0x04
STATUS_FEATURES_OK: Final = 0x08
STATUS_NEEDS_RESET: Final = 0x40
STATUS_FAILED: Final = 0x80
STATUS_BY_DRIVER: Final = 0x8F
"""The bits that a driver may set."""
STATUS_LIVE: Final = STATUS_DRIVER_OK | STATUS_FEATURES_OK
STATUS_DEAD: Final = STATUS_NEEDS_RESET | STATUS_FAILED

# InterruptStatus, InterruptACK.
INTERRUPT_QUEUE: Final = 0x1
INTERRUPT_CONFIG: Final = 0x2

# Features of every device (6).
F_RING_INDIRECT_DESC: Final = 1 << 28
F_RING_EVENT_IDX: Final = 1 << 29
F_VERSION_1: Final = 1 << 32
F_TRANSPORT: Final = F_RING_INDIRECT_DESC | F_RING_EVENT_IDX | F_VERSION_1

# Split virtqueues (2.7).
DESC_NEXT: Final = 0x1
DESC_WRITE: Final = 0x2
DESC_INDIRECT: Final = 0x4
DESC_BYTES: Final = 16
AVAIL_NO_INTERRUPT: Final = 0x1
DESC_ALIGN: Final = 16
AVAIL_ALIGN: Final = 2
USED_ALIGN: Final = 4
LOW: Final = 0xFFFF_FFFF
