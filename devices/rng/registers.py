"""The entropy device's numbers (VIRTIO 1.2, 5.4); it has no features and no configuration space."""

from __future__ import annotations

from typing import Final

DEVICE_ID: Final = 4
REQUEST_QUEUE: Final = 0
QUEUE_SIZE: Final = 8
LARGEST_REQUEST: Final = 4096
"""Bytes given for one buffer: a longer one is filled in part, as 5.4.6.1 allows."""
