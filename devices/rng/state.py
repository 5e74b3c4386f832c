"""Everything the entropy device remembers: what it has given out it has forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.virtio.state import TransportState
from machine.vmstate import vmstate


@vmstate("virtio-rng", 1)
@dataclass(slots=True)
class RngState:
    """The transport alone."""

    transport: TransportState = field(default_factory=TransportState)
