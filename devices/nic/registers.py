"""The network device's features, header and configuration space (VIRTIO 1.2, 5.1) as numbers."""

from __future__ import annotations

import struct
from typing import Final

DEVICE_ID: Final = 1
RECEIVE_QUEUE: Final = 0
TRANSMIT_QUEUE: Final = 1
QUEUE_SIZES: Final = (256, 256)

F_MTU: Final = 1 << 3
F_MAC: Final = 1 << 5
F_MRG_RXBUF: Final = 1 << 15
F_STATUS: Final = 1 << 16

STATUS_LINK_UP: Final = 1

CONFIG: Final = struct.Struct("<6sHHH")
"""mac, status, max_virtqueue_pairs (without VIRTIO_NET_F_MQ nobody looks), mtu."""

HEADER: Final = struct.Struct("<BBHHHHH")
"""struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers."""
HEADER_NEEDS_CSUM: Final = 1
HEADER_GSO_NONE: Final = 0

MTU: Final = 1500
SHORTEST_FRAME: Final = 14
"""An Ethernet header."""
LONGEST_FRAME: Final = 1518
"""Header, VLAN tag, MTU; the checksum at the end is nobody's."""
