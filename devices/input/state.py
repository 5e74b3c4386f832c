"""Everything an input device remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from devices.virtio.state import TransportState
from machine.bounds import U8, Count
from machine.input_events import ROW_BYTES
from machine.vmstate import vmstate

HELD_LIMIT: Final = 1024 * ROW_BYTES
"""Events are kept up to here for a guest that takes none; the group that does not fit is lost as a whole."""
GROUP_LIMIT: Final = 128 * ROW_BYTES
"""A group without end is lost."""


@vmstate("virtio-input", 1)
@dataclass(slots=True)
class InputState:
    """The device's type, what its configuration space shows, and events on their way."""

    transport: TransportState = field(default_factory=TransportState)
    kind: str = "kbd"
    select: U8 = 0
    subsel: U8 = 0
    held: bytes = b""
    """Rows of whole groups that the guest had no buffers for, the oldest first."""
    group: bytes = b""
    """Rows of a group whose end has not come."""
    group_lost: bool = False
    """The group whose end has not come was too long."""
    unsent: bytes = b""
    """Rows of the guest's (LEDs) that the backend has not taken."""
    blocked: bool = False
    """The backend took less than it was given; it says when it takes more."""
    lost_groups: Count = 0
    undeclared: Count = 0
    """Events that this type of device does not have."""
    lost_status: Count = 0
    """Events of the guest's that nobody took."""
