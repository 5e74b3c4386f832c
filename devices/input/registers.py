"""The input device's configuration space and queues (VIRTIO 1.2, 5.8) as numbers."""

from __future__ import annotations

import struct
from typing import Final

DEVICE_ID: Final = 18
EVENT_QUEUE: Final = 0
STATUS_QUEUE: Final = 1
QUEUE_SIZES: Final = (64, 64)

# struct virtio_input_config.
CONFIG_SELECT: Final = 0
CONFIG_SUBSEL: Final = 1
CONFIG_HEAD: Final = struct.Struct("<BBB5x")
"""select, subsel, size; the data follow."""
CONFIG_DATA_BYTES: Final = 128

# enum virtio_input_config_select.
SELECT_ID_NAME: Final = 0x01
SELECT_ID_SERIAL: Final = 0x02
SELECT_ID_DEVIDS: Final = 0x03
SELECT_PROP_BITS: Final = 0x10
SELECT_EV_BITS: Final = 0x11
SELECT_ABS_INFO: Final = 0x12

DEVIDS: Final = struct.Struct("<HHHH")
"""bustype, vendor, product, version."""
ABS_INFO: Final = struct.Struct("<5I")
"""min, max, fuzz, flat, res."""
