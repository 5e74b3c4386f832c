"""Everything the MMIO transport and its virtqueues remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from devices.virtio import registers as r
from machine.bounds import U16, U32, U64, Count, Within
from machine.vmstate import vmstate


@vmstate("virtqueue", 1)
@dataclass(slots=True)
class QueueState:
    """One split virtqueue (2.7); addresses are guest physical."""

    size: U32 = 0
    """Descriptors, as the driver chose (QueueNum); 0 before that."""
    ready: bool = False
    desc: U64 = 0
    """The descriptor table."""
    driver: U64 = 0
    """The available ring."""
    device: U64 = 0
    """The used ring."""
    seen: U16 = 0
    """Index of the next entry to take from the available ring, modulo 2^16."""
    used: U16 = 0
    """Index of the next entry to fill in the used ring, modulo 2^16."""
    event: Annotated[int, Within(-1, 0xFFFF)] = -1
    """The avail_event last written; -1 before the first."""


@vmstate("virtio-mmio", 1)
@dataclass(slots=True)
class TransportState:
    """The transport's registers, its queues, and what the CPU node has been told."""

    queues: tuple[QueueState, ...] = ()
    status: U32 = 0
    device_features_sel: U32 = 0
    driver_features_sel: U32 = 0
    driver_features: U64 = 0
    queue_sel: U32 = 0
    interrupt_status: U32 = 0
    generation: U32 = 0
    notified: U32 = 0
    """Bit n: queue n may hold something that has not been looked at."""
    faults: Count = 0
    """How often drivers have broken the rules since power-on."""
    interrupt: bool = False
    """The level of the interrupt line, as last driven."""
    announced_status: U32 = 0
    announced_interrupt_status: U32 = 0
    announced_generation: U32 = 0
    announced_config: bytes = b""
    """Registers as last announced to the CPU node."""

    @property
    def live(self) -> bool:
        """Whether the driver has said that it is ready and nothing has gone wrong since: the queues are served."""
        return self.status & (r.STATUS_LIVE | r.STATUS_DEAD) == r.STATUS_LIVE

    def has(self, feature: int) -> bool:
        """Whether a feature has been negotiated."""
        return bool(self.status & r.STATUS_FEATURES_OK and self.driver_features & feature)

    def reset(self, queues: int) -> None:
        """The driver's reset: everything but the counts, and what others have heard of us."""
        self.queues = tuple(QueueState() for _ in range(queues))
        self.status = self.interrupt_status = self.notified = 0
        self.device_features_sel = self.driver_features_sel = self.driver_features = self.queue_sel = 0
