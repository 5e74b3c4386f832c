"""Transfer rings: one attempt after another at the TD under way, until it ends or the device has to be waited for.

Theory of operation.  A transfer descriptor is looked at only when it is whole on its ring.  Nothing of it is kept
but how far it has come: it is read again for each attempt, so saved state is small and a guest that changes its ring
under way hurts itself alone.  Events for a TD are written when it ends.  A device that answers NAK is asked again at
the end of each message that may have changed its mind; nothing polls.  All work of one message is counted, and what
is beyond the budget is done at the next sync point.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from devices.usb.buffers import fits, gather, scatter, total
from devices.usb.contexts import EndpointPhase, write_endpoint
from devices.usb.functions.base import Verdict
from devices.usb.functions.chapter9 import IN, Setup
from devices.usb.messages import PORTS as SOCKETS
from devices.usb.report import Report
from devices.usb.trb import DIRECTION_IN, IMMEDIATE_BYTES, IMMEDIATE_DATA, Completion, Td, TrbType, find_td

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.usb.functions.base import Function
    from devices.usb.interrupter import Interrupter
    from devices.usb.roothub import RootHub
    from devices.usb.state import EndpointState, SlotState, XhciState

BUDGET_STEPS: Final = 4096
"""Blocks looked at in one message."""
BUDGET_BYTES: Final = 1 << 21
"""Bytes moved in one message."""
PIECE_BYTES: Final = 1 << 17
"""The most that is moved by one attempt: a multiple of every packet size."""
SILENCE: Final = 3
"""The timer of transfers that nobody answers."""
SILENCE_NS: Final = 3_000_000
"""A frame for each of three attempts.  Drivers try again at once: if it took no time, they would do nothing else."""
DATA_STAGE_BYTES: Final = 0xFFFF
DEFAULT_ENDPOINT: Final = 1
FAILURES: Final[Mapping[Verdict, Completion]] = {
    Verdict.STALL: Completion.STALL,
    Verdict.BABBLE: Completion.BABBLE,
    Verdict.ERROR: Completion.TRANSACTION_ERROR,
}
STAGES: Final = (TrbType.SETUP, TrbType.DATA, TrbType.STATUS)


def address_of(endpoint: EndpointState) -> int:
    """The endpoint's address on the bus: its number, with IN."""
    return endpoint.number >> 1 | (IN if endpoint.number & 1 else 0)


def _stir(slot: SlotState) -> None:
    for endpoint in slot.endpoints:
        endpoint.waiting = False


class Transfers:
    """All transfer rings, for the length of one message."""

    __slots__ = ("_bytes", "_context", "_hub", "_interrupter", "_state", "_steps")

    def __init__(self, state: XhciState, context: DeviceContext, hub: RootHub, interrupter: Interrupter) -> None:
        self._state = state
        self._context = context
        self._hub = hub
        self._interrupter = interrupter
        self._steps = BUDGET_STEPS
        self._bytes = BUDGET_BYTES

    def run(self) -> bool:
        """Serve every ring until nothing moves; False when the budget has been used up before that."""
        for number, slot in enumerate(self._state.slots, 1):
            moving = slot.enabled
            while moving:
                moving = False
                for endpoint in slot.endpoints:
                    if not endpoint.ringing or endpoint.waiting or endpoint.phase != EndpointPhase.RUNNING:
                        continue
                    if self._interrupter.stalled or not self._state.running:
                        return True
                    if self._steps <= 0 or self._bytes <= 0:
                        return False
                    moving |= self._serve(number, slot, endpoint)
                if moving:
                    _stir(slot)
        return True

    def stir(self, socket: int) -> None:
        """Something has happened to the device in a socket, or to its ports: ask it again."""
        for slot in self._state.slots:
            if slot.port and (slot.port - 1) % SOCKETS + 1 == socket:
                _stir(slot)

    def give_up(self) -> None:
        """Timer SILENCE has run out: what waits for a device that is not there fails."""
        self._state.silence_armed = False
        for slot in self._state.slots:
            if not (slot.attached and self._hub.reachable(slot.port)):
                for endpoint in slot.endpoints:
                    endpoint.unanswered = endpoint.waiting
                    endpoint.waiting = False

    def stop(self, number: int, slot: SlotState, endpoint: EndpointState) -> None:
        """Stop Endpoint: tell where the TD under way stands, and write it into the endpoint's context."""
        trb = None
        if endpoint.ringing:
            td = find_td(self._context, endpoint.dequeue, endpoint.cycle).td
            if td is not None and not td.broken:
                trb = Report(self._interrupter, number, endpoint.number).stopped(td, endpoint.progress)
        self.cancel(slot, endpoint)
        endpoint.phase = EndpointPhase.STOPPED
        write_endpoint(self._context, slot, endpoint, trb)

    def cancel(self, slot: SlotState, endpoint: EndpointState) -> None:
        """The attempt under way is not made again."""
        endpoint.ringing = False
        function = self._hub.function(slot.port) if slot.attached else None
        if function is not None:
            function.cancel(address_of(endpoint))
            if endpoint.number == DEFAULT_ENDPOINT:
                function.cancel(0)

    def _serve(self, number: int, slot: SlotState, endpoint: EndpointState) -> bool:
        """One attempt; whether anything has moved."""
        td, steps = find_td(self._context, endpoint.dequeue, endpoint.cycle)
        self._steps -= steps
        if td is None:
            endpoint.ringing = False
            return False
        before = endpoint.progress
        completion = Completion.TRB_ERROR if td.broken else self._attempt(slot, endpoint, td)
        self._bytes -= max(0, endpoint.progress - before)
        if completion is None:
            endpoint.waiting = endpoint.progress == before
            return not endpoint.waiting
        Report(self._interrupter, number, endpoint.number).ended(td, endpoint.progress, completion)
        if completion in (Completion.SUCCESS, Completion.SHORT_PACKET):
            endpoint.dequeue, endpoint.cycle, endpoint.progress = td.dequeue, td.cycle, 0
        else:
            broken = completion is Completion.TRB_ERROR
            endpoint.phase = EndpointPhase.ERROR if broken else EndpointPhase.HALTED
            endpoint.ringing = False
            endpoint.setup = endpoint.staged = b""
            write_endpoint(self._context, slot, endpoint)
        return True

    def _attempt(self, slot: SlotState, endpoint: EndpointState, td: Td) -> Completion | None:
        """How the TD has ended; None while it has not."""
        first = td.trbs[0].type
        if first == TrbType.NO_OP:
            return Completion.SUCCESS
        stage = endpoint.number == DEFAULT_ENDPOINT
        rest = td.trbs[1:] if stage else td.trbs
        chained = (TrbType.NORMAL, TrbType.EVENT_DATA)
        if (first in STAGES) != stage or any(trb.type not in chained for trb in rest) or not fits(td):
            return Completion.TRB_ERROR
        function = self._hub.function(slot.port) if slot.attached and self._hub.reachable(slot.port) else None
        if function is None:
            return self._await_nobody(endpoint)
        if self._hub.suspended(slot.port):
            return None
        if stage:
            return self._stage(function, endpoint, td, TrbType(first))
        if endpoint.number & 1:
            return self._fetch(function, endpoint, td)
        return self._send(function, endpoint, td)

    def _await_nobody(self, endpoint: EndpointState) -> Completion | None:
        """A transaction that nobody answers is tried three times before it fails (CErr), which takes its time."""
        if endpoint.unanswered:
            endpoint.unanswered = False
            return Completion.TRANSACTION_ERROR
        if not self._state.silence_armed:
            self._state.silence_armed = True
            self._context.arm_timer(SILENCE, SILENCE_NS)
        return None

    def _fetch(self, function: Function, endpoint: EndpointState, td: Td) -> Completion | None:
        """IN."""
        length = total(td)
        wanted = min(length - endpoint.progress, PIECE_BYTES)
        outcome = function.fetch(endpoint.number >> 1, max(0, wanted))
        if outcome.verdict is not Verdict.DONE:
            return FAILURES.get(outcome.verdict)
        if len(outcome.data) > wanted:
            return Completion.BABBLE
        scatter(self._context, td, endpoint.progress, outcome.data)
        endpoint.progress += len(outcome.data)
        if endpoint.progress == length:
            return Completion.SUCCESS
        return Completion.SHORT_PACKET if outcome.last else None

    def _send(self, function: Function, endpoint: EndpointState, td: Td) -> Completion | None:
        """OUT."""
        length = total(td)
        data = gather(self._context, td, endpoint.progress, PIECE_BYTES)
        outcome = function.send(endpoint.number >> 1, data)
        if outcome.verdict is not Verdict.DONE:
            return FAILURES.get(outcome.verdict)
        endpoint.progress += min(outcome.taken, len(data))
        return Completion.SUCCESS if endpoint.progress >= length else None

    def _stage(self, function: Function, endpoint: EndpointState, td: Td, stage: TrbType) -> Completion | None:
        """A stage of a control transfer (4.11.2.2)."""
        if stage is TrbType.SETUP:
            return self._begin(function, endpoint, td)
        if not endpoint.setup:
            return Completion.TRB_ERROR
        setup = Setup.parse(endpoint.setup)
        if stage is TrbType.DATA:
            inbound = bool(td.trbs[0].control & DIRECTION_IN)
            if inbound != setup.inbound:
                return Completion.STALL
            return self._reply(function, endpoint, td, setup) if inbound else self._stash(endpoint, td)
        failure = None if endpoint.answered else self._ask(function, endpoint, setup)
        if not endpoint.answered:
            return failure
        endpoint.setup = endpoint.staged = b""
        return Completion.SUCCESS

    def _begin(self, function: Function, endpoint: EndpointState, td: Td) -> Completion:
        """The setup stage; a request that has not come to its end is forgotten."""
        trb = td.trbs[0]
        if not trb.control & IMMEDIATE_DATA or trb.length != IMMEDIATE_BYTES:
            return Completion.TRB_ERROR
        if endpoint.setup:
            function.cancel(0)
            function.cancel(IN)
        endpoint.setup = struct.pack("<Q", trb.parameter)
        endpoint.staged = b""
        endpoint.answered = False
        return Completion.SUCCESS

    def _stash(self, endpoint: EndpointState, td: Td) -> Completion:
        """The data stage of an OUT request: kept until the status stage."""
        length = total(td)
        if length > DATA_STAGE_BYTES:
            return Completion.TRB_ERROR
        endpoint.staged = gather(self._context, td, 0, length)
        endpoint.progress = length
        return Completion.SUCCESS

    def _reply(self, function: Function, endpoint: EndpointState, td: Td, setup: Setup) -> Completion | None:
        """The data stage of an IN request."""
        failure = None if endpoint.answered else self._ask(function, endpoint, setup)
        if not endpoint.answered:
            return failure
        length = total(td)
        if len(endpoint.staged) > length:
            return Completion.BABBLE
        scatter(self._context, td, 0, endpoint.staged)
        endpoint.progress = len(endpoint.staged)
        return Completion.SUCCESS if endpoint.progress == length else Completion.SHORT_PACKET

    def _ask(self, function: Function, endpoint: EndpointState, setup: Setup) -> Completion | None:
        """Have the device carry out the request; None while it has not, or when it has."""
        outcome = function.control(setup, b"" if setup.inbound else endpoint.staged)
        if outcome.verdict is Verdict.DONE:
            endpoint.answered = True
            endpoint.staged = outcome.data
        return FAILURES.get(outcome.verdict)
