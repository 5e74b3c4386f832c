"""Everything the controller remembers: registers, rings, slots, ports, and what is plugged in."""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.usb import registers as r
from devices.usb.functions.state import SocketState
from devices.usb.messages import PORTS
from machine.vmstate import vmstate


@vmstate("xhci-endpoint", 1)
@dataclass(slots=True)
class EndpointState:
    """An endpoint that has been configured, with the transfer that is under way."""

    number: int
    """The device context index: 1 the default endpoint, else 2 * endpoint + (1 for IN)."""
    kind: int
    """An EndpointKind of contexts.py."""
    max_packet: int
    phase: int
    """An EndpointPhase of contexts.py."""
    dequeue: int
    """Guest address of the first TRB of the TD under way, or of the next one."""
    cycle: bool
    """The consumer cycle state there."""
    ringing: bool = False
    """The doorbell has rung and the ring has not been found empty since."""
    waiting: bool = False
    """The device has answered NAK and nothing has happened to it since."""
    unanswered: bool = False
    """Nobody has answered for as long as it takes to give up."""
    progress: int = 0
    """Bytes of the TD under way that have been moved."""
    setup: bytes = b""
    """The request of the control transfer under way; empty between transfers."""
    staged: bytes = b""
    """Bytes of its data stage: those that came out, or the reply on its way in."""
    answered: bool = False
    """The device has carried out the request."""


@vmstate("xhci-slot", 1)
@dataclass(slots=True)
class SlotState:
    """A device slot."""

    enabled: bool = False
    phase: int = 0
    """A SlotPhase of contexts.py."""
    port: int = 0
    """The root hub port, 0 before an address has been asked for."""
    attached: bool = False
    """What was addressed is still plugged in."""
    context: int = 0
    """Guest address of the output device context."""
    endpoints: tuple[EndpointState, ...] = ()
    """In the order of their numbers."""


@vmstate("xhci-port", 1)
@dataclass(slots=True)
class PortState:
    """A port's registers."""

    status: int = r.PORT_POWERED | r.LINK_RX_DETECT << r.PORT_LINK_SHIFT
    power: int = 0
    link: int = 0
    lpm: int = 0


@vmstate("xhci-interrupter", 1)
@dataclass(slots=True)
class InterrupterState:
    """Interrupter 0: its registers and the producer's place in its event ring."""

    management: int = 0
    moderation: int = 0
    table_size: int = 0
    table: int = 0
    dequeue: int = 0
    """ERDP, EHB included."""
    segment: int = 0
    """Entry of the table that is being filled."""
    base: int = 0
    """That segment's address."""
    size: int = 0
    """That segment's TRBs; 0 while there is no ring."""
    index: int = 0
    """The next TRB to write."""
    cycle: bool = True
    unsaid: bool = False
    """An event has been written that no interrupt has told of (IPE in section 4.17.2)."""
    moderating: bool = False
    """The moderation counter runs: timer MODERATION is armed."""
    held: bytes = b""
    """Events that found the ring full, 16 bytes each, the oldest first."""


@vmstate("xhci", 1)
@dataclass(slots=True)
class XhciState:
    """The controller."""

    command: int = 0
    status: int = r.STS_HALTED
    notifications: int = 0
    context_array: int = 0
    configure: int = 0
    ring: int = 0
    """The command ring's dequeue pointer."""
    ring_cycle: bool = False
    ring_running: bool = False
    ring_ringing: bool = False
    """Doorbell 0 has rung and the command ring has not been found empty since."""
    wrap_armed: bool = False
    """Timer WRAP is armed."""
    silence_armed: bool = False
    """Timer SILENCE is armed: transfers wait for a device that is not there."""
    deferred: bool = False
    """Work is left for the next sync point: timer DEFERRED is armed."""
    interrupt: bool = False
    """The level of the interrupt line, as last driven."""
    announced: tuple[int, ...] = ()
    """The values of the registers with changing treatment, as last announced (treatment.py)."""
    interrupter: InterrupterState = field(default_factory=InterrupterState)
    slots: tuple[SlotState, ...] = field(default_factory=lambda: tuple(SlotState() for _ in range(r.MAX_SLOTS)))
    ports: tuple[PortState, ...] = field(default_factory=lambda: tuple(PortState() for _ in range(r.MAX_PORTS)))
    sockets: tuple[SocketState, ...] = field(default_factory=lambda: tuple(SocketState() for _ in range(PORTS)))

    @property
    def running(self) -> bool:
        """R/S is set and nothing has gone wrong."""
        return bool(self.command & r.CMD_RUN) and not self.status & r.STS_CONTROLLER_ERROR
