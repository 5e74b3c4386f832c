"""The virtio entropy device (VIRTIO 1.2, 5.4).

Lives here: filling the guest's buffers.
Never here: chance; every byte is asked of the context and is a recorded input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.rng import registers as r
from devices.rng.state import RngState
from devices.virtio.buffers import BufferWriter, total
from devices.virtio.model import VirtioModel

if TYPE_CHECKING:
    from devices.model import DeviceContext


class Rng(VirtioModel):
    """One source of entropy."""

    __slots__ = ()

    DEVICE_ID = r.DEVICE_ID
    QUEUE_SIZES = (r.QUEUE_SIZE,)

    def __init__(self) -> None:
        super().__init__(RngState())

    def fresh_state(self) -> RngState:
        """Power-on."""
        return RngState()

    def config(self) -> bytes:
        """There is none."""
        return b""

    def serve(self, index: int, context: DeviceContext) -> None:
        """Fill each waiting buffer with at least one byte, if it has room for one."""
        ring = self.open_ring(index, context)
        writer = BufferWriter(context)
        while (chain := ring.take()) is not None:
            size = min(total(chain.writable), r.LARGEST_REQUEST)
            data = context.read_entropy(size) if size else b""
            ring.give_back(chain, writer.fill(chain.writable, data))
        writer.flush()
        self.close_ring(ring)
