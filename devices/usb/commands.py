"""The command ring: slots, addresses, endpoints (xHCI 4.6)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from devices.usb import registers as r
from devices.usb.contexts import (
    HIGHEST_ENDPOINT,
    EndpointContext,
    EndpointKind,
    EndpointPhase,
    InputContext,
    SlotPhase,
    copy_endpoint,
    disable_endpoint,
    write_endpoint,
    write_entries,
    write_evaluated_slot,
    write_packet_size,
    write_slot,
)
from devices.usb.state import EndpointState, SlotState
from devices.usb.trb import (
    BLOCK_SET_ADDRESS,
    DECONFIGURE,
    POINTER_MASK,
    Completion,
    Trb,
    TrbType,
    event,
    find_command,
)

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.usb.interrupter import Interrupter
    from devices.usb.roothub import RootHub
    from devices.usb.state import XhciState
    from devices.usb.transfers import Transfers

BUDGET_COMMANDS: Final = 64
"""Commands carried out in one message."""
CONTEXT_MASK: Final = ~0x3F & (1 << 64) - 1
SLOT_FLAG: Final = 1 << 0
DEFAULT_FLAG: Final = 1 << 1
DEFAULT_NUMBER: Final = 1
ISOCHRONOUS: Final = (EndpointKind.ISOCH_IN, EndpointKind.ISOCH_OUT)
ENDPOINT_COMMANDS: Final = (TrbType.RESET_ENDPOINT, TrbType.STOP_ENDPOINT, TrbType.SET_DEQUEUE)


class Commands:
    """The command ring for the length of one message."""

    __slots__ = ("_context", "_hub", "_interrupter", "_state", "_transfers")

    def __init__(
        self,
        state: XhciState,
        context: DeviceContext,
        hub: RootHub,
        interrupter: Interrupter,
        transfers: Transfers,
    ) -> None:
        self._state = state
        self._context = context
        self._hub = hub
        self._interrupter = interrupter
        self._transfers = transfers

    def run(self) -> bool:
        """Carry out what is on the ring; False when the budget has been used up before its end."""
        s = self._state
        for _ in range(BUDGET_COMMANDS):
            if not (s.running and s.ring_running and s.ring_ringing) or self._interrupter.stalled:
                return True
            found = find_command(self._context, s.ring, s.ring_cycle)
            if found is None:
                s.ring_ringing = False
                return True
            if found.broken:
                self._interrupter.fail()
                return True
            s.ring, s.ring_cycle = found.dequeue, found.cycle
            self._carry_out(found.trbs[0])
        return False

    def ring(self) -> None:
        """Doorbell 0."""
        self._state.ring_running = self._state.ring_ringing = True

    def control(self, value: int) -> None:
        """A store to the lower half of CRCR: where the ring is, or a stop of it."""
        s = self._state
        if not s.ring_running:
            s.ring = s.ring & ~0xFFFF_FFFF | value & 0xFFFF_FFC0
            s.ring_cycle = bool(value & r.RING_CYCLE)
        elif value & (r.RING_STOP | r.RING_ABORT):
            s.ring_running = s.ring_ringing = False
            stopped = event(TrbType.COMMAND_COMPLETION, s.ring, Completion.COMMAND_RING_STOPPED)
            self._interrupter.put(stopped)

    def _carry_out(self, trb: Trb) -> None:
        number = trb.slot
        if trb.type == TrbType.NO_OP_COMMAND:
            code = Completion.SUCCESS
        elif trb.type == TrbType.ENABLE_SLOT:
            code, number = self._enable()
        elif not 1 <= number <= r.MAX_SLOTS:
            code = Completion.TRB_ERROR
        elif not self._state.slots[number - 1].enabled:
            code = Completion.SLOT_NOT_ENABLED
        elif trb.type in ENDPOINT_COMMANDS:
            code = self._endpoint_command(trb, number, self._state.slots[number - 1])
        else:
            code = self._slot_command(trb, number, self._state.slots[number - 1])
        self._interrupter.put(event(TrbType.COMMAND_COMPLETION, trb.address, code, 0, number << 24))

    def _slot_command(self, trb: Trb, number: int, slot: SlotState) -> Completion:
        match trb.type:
            case TrbType.DISABLE_SLOT:
                return self._disable(number, slot)
            case TrbType.ADDRESS_DEVICE:
                return self._address(trb, number, slot)
            case TrbType.CONFIGURE_ENDPOINT:
                return self._configure(trb, number, slot)
            case TrbType.EVALUATE_CONTEXT:
                return self._evaluate(trb, slot)
            case TrbType.RESET_DEVICE:
                return self._reset(number, slot)
            case _:
                return Completion.TRB_ERROR

    def _endpoint_command(self, trb: Trb, number: int, slot: SlotState) -> Completion:
        if not trb.endpoint:
            return Completion.TRB_ERROR
        endpoint = find_endpoint(slot, trb.endpoint)
        if endpoint is None:
            return Completion.ENDPOINT_NOT_ENABLED
        match trb.type:
            case TrbType.STOP_ENDPOINT if endpoint.phase == EndpointPhase.RUNNING:
                self._transfers.stop(number, slot, endpoint)
            case TrbType.RESET_ENDPOINT if endpoint.phase == EndpointPhase.HALTED:
                endpoint.phase = EndpointPhase.STOPPED
                write_endpoint(self._context, slot, endpoint)
            case TrbType.SET_DEQUEUE if endpoint.phase in (EndpointPhase.STOPPED, EndpointPhase.ERROR):
                endpoint.phase = EndpointPhase.STOPPED
                endpoint.dequeue, endpoint.cycle = trb.parameter & POINTER_MASK, bool(trb.parameter & 1)
                endpoint.progress, endpoint.answered = 0, False
                endpoint.unanswered = False
                endpoint.setup = endpoint.staged = b""
                write_endpoint(self._context, slot, endpoint)
            case _:
                return Completion.CONTEXT_STATE_ERROR
        return Completion.SUCCESS

    def _enable(self) -> tuple[Completion, int]:
        allowed = min(self._state.configure & 0xFF, r.MAX_SLOTS)
        for number in range(1, allowed + 1):
            if not self._state.slots[number - 1].enabled:
                self._replace(number, SlotState(enabled=True))
                return Completion.SUCCESS, number
        return Completion.NO_SLOTS, 0

    def _disable(self, number: int, slot: SlotState) -> Completion:
        self._drop(slot, slot.endpoints)
        if slot.phase:
            slot.phase = SlotPhase.DISABLED
            write_slot(self._context, slot, 0)
        self._replace(number, SlotState())
        return Completion.SUCCESS

    def _replace(self, number: int, slot: SlotState) -> None:
        slots = self._state.slots
        self._state.slots = (*slots[: number - 1], slot, *slots[number:])

    def _address(self, trb: Trb, number: int, slot: SlotState) -> Completion:
        """Address Device (4.6.5).  No address travels: a device here answers to its port."""
        blocked = bool(trb.control & BLOCK_SET_ADDRESS)
        if slot.phase > (SlotPhase.DISABLED if blocked else SlotPhase.DEFAULT):
            return Completion.CONTEXT_STATE_ERROR
        given = InputContext(self._context, trb.parameter & POINTER_MASK)
        wanted, default = given.slot(), given.endpoint(DEFAULT_NUMBER)
        flags_right = given.add & 3 == SLOT_FLAG | DEFAULT_FLAG and not given.drop
        if not flags_right or not wanted.valid or not default.valid(DEFAULT_NUMBER):
            return Completion.PARAMETER_ERROR
        if not 1 <= wanted.port <= r.MAX_PORTS or self._taken(wanted.port, slot):
            return Completion.PARAMETER_ERROR
        present = self._hub.function(wanted.port) is not None
        if not blocked and not (present and self._hub.reachable(wanted.port)):
            return Completion.TRANSACTION_ERROR
        pointer = self._context.dma_read(self._state.context_array + 8 * number & (1 << 64) - 1, 8)
        (context,) = struct.unpack("<Q", pointer)
        slot.context = context & CONTEXT_MASK
        slot.port, slot.attached = wanted.port, present
        slot.phase = SlotPhase.DEFAULT if blocked else SlotPhase.ADDRESSED
        slot.endpoints = (_endpoint(DEFAULT_NUMBER, default),)
        write_slot(self._context, slot, 0 if blocked else number, given.slot_words())
        copy_endpoint(self._context, slot, slot.endpoints[0], given.endpoint_bytes(DEFAULT_NUMBER))
        return Completion.SUCCESS

    def _taken(self, port: int, but: SlotState) -> bool:
        """Whether another slot has the device of a port."""
        return any(other is not but and other.attached and other.port == port for other in self._state.slots)

    def _configure(self, trb: Trb, number: int, slot: SlotState) -> Completion:
        """Configure Endpoint (4.6.6)."""
        if slot.phase not in (SlotPhase.ADDRESSED, SlotPhase.CONFIGURED):
            return Completion.CONTEXT_STATE_ERROR
        if trb.control & DECONFIGURE:
            self._drop(slot, slot.endpoints[1:])
            self._set_phase(number, slot, SlotPhase.ADDRESSED)
            return Completion.SUCCESS
        given = InputContext(self._context, trb.parameter & POINTER_MASK)
        if not given.add & SLOT_FLAG or given.drop & 3 or not given.slot().valid:
            return Completion.PARAMETER_ERROR
        added = {n: given.endpoint(n) for n in range(DEFAULT_NUMBER + 1, HIGHEST_ENDPOINT + 1) if given.add >> n & 1}
        if any(not endpoint.valid(n) for n, endpoint in added.items()):
            return Completion.PARAMETER_ERROR
        if any(endpoint.kind in ISOCHRONOUS for endpoint in added.values()):
            # No device here takes isochronous transfers, so there is no bandwidth for them.
            return Completion.BANDWIDTH_ERROR
        self._drop(slot, tuple(e for e in slot.endpoints if (given.drop | given.add) >> e.number & 1 and e.number > 1))
        kept = {endpoint.number: endpoint for endpoint in slot.endpoints}
        kept |= {n: _endpoint(n, endpoint) for n, endpoint in added.items()}
        slot.endpoints = tuple(kept[n] for n in sorted(kept))
        slot.phase = SlotPhase.CONFIGURED if len(slot.endpoints) > 1 else SlotPhase.ADDRESSED
        write_slot(self._context, slot, number, given.slot_words())
        for n in added:
            copy_endpoint(self._context, slot, kept[n], given.endpoint_bytes(n))
        return Completion.SUCCESS

    def _evaluate(self, trb: Trb, slot: SlotState) -> Completion:
        """Evaluate Context (4.6.7): of the default endpoint the packet size, of the slot what write_slot() does not."""
        if slot.phase == SlotPhase.DISABLED:
            return Completion.CONTEXT_STATE_ERROR
        given = InputContext(self._context, trb.parameter & POINTER_MASK)
        if given.drop:
            return Completion.PARAMETER_ERROR
        if given.add & SLOT_FLAG:
            write_evaluated_slot(self._context, slot, given.slot_words())
        if given.add & DEFAULT_FLAG:
            default = slot.endpoints[0]
            default.max_packet = given.endpoint(DEFAULT_NUMBER).max_packet
            write_packet_size(self._context, slot, default)
        return Completion.SUCCESS

    def _reset(self, number: int, slot: SlotState) -> Completion:
        """Reset Device (4.6.11)."""
        if slot.phase not in (SlotPhase.ADDRESSED, SlotPhase.CONFIGURED):
            return Completion.CONTEXT_STATE_ERROR
        self._transfers.cancel(slot, slot.endpoints[0])
        self._drop(slot, slot.endpoints[1:])
        slot.attached = self._hub.function(slot.port) is not None
        self._set_phase(number, slot, SlotPhase.DEFAULT)
        return Completion.SUCCESS

    def _drop(self, slot: SlotState, endpoints: tuple[EndpointState, ...]) -> None:
        for endpoint in endpoints:
            self._transfers.cancel(slot, endpoint)
            disable_endpoint(self._context, slot, endpoint.number)
        slot.endpoints = tuple(e for e in slot.endpoints if e not in endpoints)

    def _set_phase(self, number: int, slot: SlotState, phase: SlotPhase) -> None:
        slot.phase = phase
        write_slot(self._context, slot, 0 if phase is SlotPhase.DEFAULT else number)
        write_entries(self._context, slot)


def find_endpoint(slot: SlotState, number: int) -> EndpointState | None:
    """A slot's endpoint by its number."""
    return next((endpoint for endpoint in slot.endpoints if endpoint.number == number), None)


def _endpoint(number: int, given: EndpointContext) -> EndpointState:
    running = EndpointPhase.RUNNING
    return EndpointState(number, given.kind, given.max_packet, running, given.dequeue, given.cycle)
