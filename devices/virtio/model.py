"""The MMIO transport as the guest sees it (VIRTIO 1.2, 4.2): what every virtio device inherits.

Lives here: identification, features, status, queue set-up, notifications, interrupts, configuration space.
Never here: what a device does with its buffers.

A driver that breaks the rules gets DEVICE_NEEDS_RESET and a configuration interrupt (2.1.2); until it resets the
device no queue is looked at.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

from devices.virtio import registers as r
from devices.virtio.ring import DriverFault, Ring
from devices.virtio.state import QueueState, TransportState
from devices.virtio.treatment import config_rows, copy_row, fixed_rows

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from machine.message import HostEvent

log = logging.getLogger("dejavm")

WORD_BYTES: Final = 4
"""Width of every register below the configuration space."""
_ADDRESS_FIELDS: Final = {
    r.QUEUE_DESC_LOW: ("desc", 0),
    r.QUEUE_DESC_HIGH: ("desc", 32),
    r.QUEUE_DRIVER_LOW: ("driver", 0),
    r.QUEUE_DRIVER_HIGH: ("driver", 32),
    r.QUEUE_DEVICE_LOW: ("device", 0),
    r.QUEUE_DEVICE_HIGH: ("device", 32),
}


class VirtioModel:
    """One device behind the transport; everything it remembers is in `state`, the transport's part in `transport`."""

    __slots__ = ("state",)

    DEVICE_ID: ClassVar[int]
    """Device type (5)."""
    FEATURES: ClassVar[int] = 0
    """What the device itself offers."""
    QUEUE_SIZES: ClassVar[tuple[int, ...]]
    """The most descriptors of each queue, powers of two."""

    state: Any

    def __init__(self, state: Any) -> None:  # noqa: ANN401  # each device's own
        self.state = state
        self.transport.reset(len(self.QUEUE_SIZES))

    @property
    def transport(self) -> TransportState:
        """The transport's part of the state."""
        transport: TransportState = self.state.transport
        return transport

    # What a device is made of.

    def config(self) -> bytes:
        """The configuration space."""
        raise NotImplementedError

    def fresh_state(self) -> Any:  # noqa: ANN401  # each device's own
        """The state at power-on."""
        raise NotImplementedError

    def serve(self, index: int, context: DeviceContext) -> None:
        """Look at a ready queue of a live device; DriverFault from a ring may pass through."""
        raise NotImplementedError

    def write_config(self, offset: int, size: int, value: int) -> None:
        """A store to the configuration space."""

    def driver_reset(self) -> None:
        """The driver has reset the device."""

    # What a device may ask for.

    def open_ring(self, index: int, context: DeviceContext) -> Ring:
        """A queue for the length of this message; DriverFault."""
        t = self.transport
        indirect, event_idx = t.has(r.F_RING_INDIRECT_DESC), t.has(r.F_RING_EVENT_IDX)
        return Ring(t.queues[index], context, indirect=indirect, event_idx=event_idx)

    def close_ring(self, ring: Ring, *, wants_notice: bool = True) -> None:
        """Publish what was given back, and interrupt if the driver wants it."""
        if ring.finish(wants_notice=wants_notice):
            self.transport.interrupt_status |= r.INTERRUPT_QUEUE

    def wake(self, index: int) -> None:
        """Have serve() called at the end of this message."""
        self.transport.notified |= 1 << index

    def config_changed(self) -> None:
        """config() says something new, and not because of the driver."""
        t = self.transport
        t.generation = (t.generation + 1) & r.LOW
        if t.status & r.STATUS_DRIVER_OK:
            t.interrupt_status |= r.INTERRUPT_CONFIG

    # devices/model.py, DeviceModel.

    def reset(self, context: DeviceContext) -> None:
        """Power-on.  The interrupt line is put right by settle()."""
        level = self.transport.interrupt
        self.state = self.fresh_state()
        t = self.transport
        t.reset(len(self.QUEUE_SIZES))
        t.interrupt = level
        t.announced_config = self.config()
        copies = [copy_row(offset, 0) for offset in (r.STATUS, r.INTERRUPT_STATUS, r.CONFIG_GENERATION)]
        context.set_registers([*fixed_rows(self.DEVICE_ID), *copies, *config_rows(t.announced_config, b"")])

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """A load; what only may be stored to, and what is not there, is 0."""
        self._serve(context)
        if offset >= r.CONFIG:
            at = offset - r.CONFIG
            return int.from_bytes(self.config()[at : at + size], "little")
        t = self.transport
        match offset:
            case r.MAGIC_VALUE:
                return r.MAGIC
            case r.VERSION:
                return r.MMIO_VERSION
            case r.DEVICE_ID:
                return self.DEVICE_ID
            case r.VENDOR_ID:
                return r.VENDOR
            case r.DEVICE_FEATURES:
                return self._offered >> 32 * t.device_features_sel & r.LOW if t.device_features_sel <= 1 else 0
            case r.QUEUE_NUM_MAX:
                return self.QUEUE_SIZES[t.queue_sel] if t.queue_sel < len(t.queues) else 0
            case r.QUEUE_READY:
                return int(t.queue_sel < len(t.queues) and t.queues[t.queue_sel].ready)
            case r.INTERRUPT_STATUS:
                return t.interrupt_status
            case r.STATUS:
                return t.status
            case r.SHM_LEN_LOW | r.SHM_LEN_HIGH | r.SHM_BASE_LOW | r.SHM_BASE_HIGH:
                return r.NO_SHARED_MEMORY
            case r.CONFIG_GENERATION:
                return t.generation
            case _:
                return 0

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """A store; registers are stored to as a whole or not at all."""
        t = self.transport
        if offset == r.QUEUE_NOTIFY and size == WORD_BYTES:
            if value < len(t.queues):
                self.wake(value)
            return
        # What was notified before this store happened before it.
        self._serve(context)
        if offset >= r.CONFIG:
            self.write_config(offset - r.CONFIG, size, value)
            return
        if size != WORD_BYTES:
            return
        value &= r.LOW
        match offset:
            case r.DEVICE_FEATURES_SEL:
                t.device_features_sel = value
            case r.DRIVER_FEATURES_SEL:
                t.driver_features_sel = value
            case r.DRIVER_FEATURES:
                self._write_features(value)
            case r.QUEUE_SEL:
                t.queue_sel = value
            case r.INTERRUPT_ACK:
                t.interrupt_status &= ~value
            case r.STATUS:
                self._write_status(value)
            case _ if t.queue_sel < len(t.queues):
                self._write_queue(t.queues[t.queue_sel], offset, value)
            case _:
                pass

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """There is no queue in the CPU node."""

    def settle(self, context: DeviceContext) -> None:
        """Serve the queues, announce what has changed, drive the line."""
        self._serve(context)
        t = self.transport
        news = list(config_rows(config, t.announced_config)) if (config := self.config()) != t.announced_config else []
        if t.status != t.announced_status:
            news.append(copy_row(r.STATUS, t.status))
        if t.interrupt_status != t.announced_interrupt_status:
            news.append(copy_row(r.INTERRUPT_STATUS, t.interrupt_status))
        if t.generation != t.announced_generation:
            news.append(copy_row(r.CONFIG_GENERATION, t.generation))
        if news:
            context.set_registers(news)
            t.announced_config, t.announced_status = config, t.status
            t.announced_interrupt_status, t.announced_generation = t.interrupt_status, t.generation
        level = bool(t.interrupt_status)
        if level != t.interrupt:
            t.interrupt = level
            context.set_irq(level)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Something from the backend; most have none."""

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """There are no timers."""

    def input_room(self) -> int:
        """Nothing comes in, unless the device says otherwise."""
        return 0

    # The rest is the transport's own.

    @property
    def _offered(self) -> int:
        return r.F_TRANSPORT | self.FEATURES

    def _serve(self, context: DeviceContext) -> None:
        """Look at the queues of which there is news, the lowest number first."""
        t = self.transport
        if not t.notified or not t.live:
            return
        for index, queue in enumerate(t.queues):
            if t.notified >> index & 1 and queue.ready:
                t.notified &= ~(1 << index)
                try:
                    self.serve(index, context)
                except DriverFault as fault:
                    self._fail(f"queue {index}: {fault}")
                    return

    def _fail(self, what: str) -> None:
        """The driver has broken the rules.  Said at the 1st, 2nd, 4th, 8th... time: no guest fills the screen."""
        t = self.transport
        t.faults += 1
        t.status |= r.STATUS_NEEDS_RESET
        if t.status & r.STATUS_DRIVER_OK:
            t.interrupt_status |= r.INTERRUPT_CONFIG
        if t.faults & (t.faults - 1) == 0:
            name = type(self).__name__.lower()
            log.warning("%s: the guest's driver must reset the device: %s (fault %d)", name, what, t.faults)

    def _write_features(self, value: int) -> None:
        t = self.transport
        if t.driver_features_sel <= 1 and not t.status & r.STATUS_FEATURES_OK:
            shift = 32 * t.driver_features_sel
            t.driver_features = t.driver_features & ~(r.LOW << shift) | value << shift

    def _write_status(self, value: int) -> None:
        """0 resets; FEATURES_OK stays clear where the features cannot be had together (2.2.2, 3.1.1)."""
        t = self.transport
        if value == 0:
            t.reset(len(self.QUEUE_SIZES))
            self.driver_reset()
            return
        was_live, accepted = t.live, t.status & r.STATUS_FEATURES_OK
        t.status = value & r.STATUS_BY_DRIVER | t.status & r.STATUS_NEEDS_RESET
        if not accepted and (t.driver_features & ~self._offered or not t.driver_features & r.F_VERSION_1):
            t.status &= ~r.STATUS_FEATURES_OK
        if t.live and not was_live:
            # Buffers may have been made available before.
            t.notified = (1 << len(t.queues)) - 1

    def _write_queue(self, queue: QueueState, offset: int, value: int) -> None:
        """Set-up of the selected queue; a queue that is in use keeps what it has (4.2.2.2)."""
        if offset == r.QUEUE_READY:
            if not value & 1:
                queue.ready = False
                queue.seen = queue.used = 0
                queue.event = -1
            elif not queue.ready:
                self._ready_queue(queue)
        elif queue.ready:
            return
        elif offset == r.QUEUE_NUM:
            queue.size = value
        elif offset in _ADDRESS_FIELDS:
            name, shift = _ADDRESS_FIELDS[offset]
            address = getattr(queue, name)
            setattr(queue, name, address & ~(r.LOW << shift) | value << shift)

    def _ready_queue(self, queue: QueueState) -> None:
        size, limit = queue.size, self.QUEUE_SIZES[self.transport.queue_sel]
        aligned = not (queue.desc % r.DESC_ALIGN or queue.driver % r.AVAIL_ALIGN or queue.device % r.USED_ALIGN)
        if not 0 < size <= limit or size & (size - 1):
            self._fail(f"queue {self.transport.queue_sel}: {size} descriptors are not a power of two up to {limit}")
        elif not aligned:
            self._fail(f"queue {self.transport.queue_sel}: its rings are not aligned")
        else:
            queue.ready = True
