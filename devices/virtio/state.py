"""Everything the MMIO transport and its virtqueues remember."""

from __future__ import annotations

from dataclasses import dataclass

from devices.virtio import registers as r
from machine.vmstate import vmstate


@vmstate("virtqueue", 1)
@dataclass(slots=True)
class QueueState:
    """One split virtqueue (2.7); addresses are guest physical."""

    size: int = 0
    """Descriptors, as the driver chose (QueueNum); 0 before that."""
    ready: bool = False
    desc: int = 0
    """The descriptor table."""
    driver: int = 0
    """The available ring."""
    device: int = 0
    """The used ring."""
    seen: int = 0
    """Index of the next entry to take from the available ring, modulo 2^16."""
    used: int = 0
    """Index of the next entry to fill in the used ring, modulo 2^16."""
    event: int = -1
    """The avail_event last written; -1 before the first."""


@vmstate("virtio-mmio", 1)
@dataclass(slots=True)
class TransportState:
    """The transport's registers, its queues, and what the CPU node has been told."""

    queues: tuple[QueueState, ...] = ()
    status: int = 0
    device_features_sel: int = 0
    driver_features_sel: int = 0
    driver_features: int = 0
    queue_sel: int = 0
    interrupt_status: int = 0
    generation: int = 0
    notified: int = 0
    """Bit n: queue n may hold something that has not been looked at."""
    faults: int = 0
    """How often drivers have broken the rules since power-on."""
    interrupt: bool = False
    """The level of the interrupt line, as last driven."""
    announced_status: int = 0
    announced_interrupt_status: int = 0
    announced_generation: int = 0
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
