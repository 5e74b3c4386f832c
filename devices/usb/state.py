"""Everything the controller remembers: registers, rings, slots, ports, and what is plugged in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from devices.usb import registers as r
from devices.usb.functions.state import SocketState
from devices.usb.messages import PORTS
from machine.bounds import U16, U32, U64, Count, Long, Within
from machine.vmstate import vmstate


@vmstate("xhci-endpoint", 1)
@dataclass(slots=True)
class EndpointState:
    """An endpoint that has been configured, with the transfer that is under way."""

    number: Annotated[int, Within(1, 31)]
    """The device context index: 1 the default endpoint, else 2 * endpoint + (1 for IN)."""
    kind: Annotated[int, Within(0, 7)]
    """An EndpointKind of contexts.py."""
    max_packet: U16
    phase: Annotated[int, Within(0, 4)]
    """An EndpointPhase of contexts.py."""
    dequeue: U64
    """Guest address of the first TRB of the TD under way, or of the next one."""
    cycle: bool
    """The consumer cycle state there."""
    ringing: bool = False
    """The doorbell has rung and the ring has not been found empty since."""
    waiting: bool = False
    """The device has answered NAK and nothing has happened to it since."""
    unanswered: bool = False
    """Nobody has answered for as long as it takes to give up."""
    progress: Count = 0
    """Bytes of the TD under way that have been moved."""
    setup: Annotated[bytes, Long(0, 8, 8)] = b""
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
    phase: Annotated[int, Within(0, 3)] = 0
    """A SlotPhase of contexts.py."""
    port: Annotated[int, Within(0, r.MAX_PORTS)] = 0
    """The root hub port, 0 before an address has been asked for."""
    attached: bool = False
    """What was addressed is still plugged in."""
    context: U64 = 0
    """Guest address of the output device context."""
    endpoints: Annotated[tuple[EndpointState, ...], Long(0, 31)] = ()
    """In the order of their numbers."""


@vmstate("xhci-port", 1)
@dataclass(slots=True)
class PortState:
    """A port's registers."""

    status: U32 = r.PORT_POWERED | r.LINK_RX_DETECT << r.PORT_LINK_SHIFT
    power: U32 = 0
    link: U32 = 0
    lpm: U32 = 0


@vmstate("xhci-interrupter", 1)
@dataclass(slots=True)
class InterrupterState:
    """Interrupter 0: its registers and the producer's place in its event ring."""

    management: U32 = 0
    moderation: U32 = 0
    table_size: U32 = 0
    table: U64 = 0
    dequeue: U64 = 0
    """ERDP, EHB included."""
    segment: U32 = 0
    """Entry of the table that is being filled."""
    base: U64 = 0
    """That segment's address."""
    size: U32 = 0
    """That segment's TRBs; 0 while there is no ring."""
    index: U32 = 0
    """The next TRB to write."""
    cycle: bool = True
    unsaid: bool = False
    """An event has been written that no interrupt has told of (IPE in section 4.17.2)."""
    moderating: bool = False
    """The moderation counter runs: timer MODERATION is armed."""
    held: Annotated[bytes, Long(unit=16)] = b""
    """Events that found the ring full, 16 bytes each, the oldest first."""


@vmstate("xhci", 1)
@dataclass(slots=True)
class XhciState:
    """The controller."""

    command: U32 = 0
    status: U32 = r.STS_HALTED
    notifications: U32 = 0
    context_array: U64 = 0
    configure: U32 = 0
    ring: U64 = 0
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
    slots: Annotated[tuple[SlotState, ...], Long(r.MAX_SLOTS, r.MAX_SLOTS)] = field(
        default_factory=lambda: tuple(SlotState() for _ in range(r.MAX_SLOTS))
    )
    ports: Annotated[tuple[PortState, ...], Long(r.MAX_PORTS, r.MAX_PORTS)] = field(
        default_factory=lambda: tuple(PortState() for _ in range(r.MAX_PORTS))
    )
    sockets: Annotated[tuple[SocketState, ...], Long(PORTS, PORTS)] = field(
        default_factory=lambda: tuple(SocketState() for _ in range(PORTS))
    )

    @property
    def running(self) -> bool:
        """R/S is set and nothing has gone wrong."""
        return bool(self.command & r.CMD_RUN) and not self.status & r.STS_CONTROLLER_ERROR
