"""The xHCI 1.1 host controller as the guest sees it (Intel, eXtensible Host Controller Interface, Revision 1.1).

Lives here: which register is whose, what a message leads to, in which order.
Never here: sockets, files, threads; what the devices that are plugged in do (functions/).

Work is done when a message ends, or when the guest looks: doorbells only note that there is some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from devices.usb import registers as r
from devices.usb.commands import Commands, find_endpoint
from devices.usb.contexts import EndpointPhase, write_endpoint
from devices.usb.functions.base import FIRST_FUNCTION_TIMER
from devices.usb.functions.socket import function_of, plug_in, pull_out, room_of
from devices.usb.interrupter import MODERATION, Interrupter
from devices.usb.messages import PORTS, MalformedMessage, decode_data, decode_plugged, decode_unplugged
from devices.usb.roothub import RootHub
from devices.usb.state import XhciState
from devices.usb.transfers import SILENCE, Transfers
from devices.usb.trb import Completion, TrbType, event
from devices.usb.treatment import changed_rows, constant_rows, values
from machine.message import HostEvent

if TYPE_CHECKING:
    from devices.model import DeviceContext

DEFERRED: Final = 1
"""The timer of work that is left for the next sync point."""
WRAP: Final = 2
"""The timer of the microframe index's wrap."""
WRAP_NS: Final = (r.MICROFRAME_MASK + 1) * r.MICROFRAME_NS
DWORD: Final = 4
QWORD: Final = 8
LOW: Final = 0xFFFF_FFFF


class Parts(NamedTuple):
    """The controller's parts, for the length of one message."""

    interrupter: Interrupter
    hub: RootHub
    transfers: Transfers
    commands: Commands


class Xhci:
    """One controller with its devices; everything it remembers is in `state`."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = XhciState()

    def reset(self, context: DeviceContext) -> None:
        """Power-on.  What is plugged in stays so."""
        old = self.state
        self._disarm(context)
        self.state = XhciState(interrupt=old.interrupt, sockets=old.sockets)
        self._parts(context).hub.reset()
        context.set_registers(constant_rows())

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """A load; what the doorbells before it have asked for is done first.  Registers have 32 bits, five have 64."""
        self._work(context)
        value = self._read(offset & ~3, context) >> 8 * (offset & 3)
        if size == QWORD and offset in r.WIDE:
            return value | self._read(offset + DWORD, context) << 32
        return value & (1 << 8 * min(size, DWORD)) - 1

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """A store; those of less than a register do nothing (5.1)."""
        if size < DWORD or offset % DWORD:
            return
        self._write(offset, value & LOW, context)
        if size == QWORD:
            self._write(offset + DWORD, value >> 32 & LOW, context)

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """There is no queue."""

    def settle(self, context: DeviceContext) -> None:
        """Do what there is to do, announce what has changed, drive the line."""
        self._work(context)
        s = self.state
        now = values(s)
        if now != s.announced:
            context.set_registers(changed_rows(now, s.announced))
            s.announced = now
        level = Interrupter(s, context).line()
        if level != s.interrupt:
            s.interrupt = level
            context.set_irq(level)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Something is plugged in, pulled out, or says something.  What is no message of messages.py is nothing."""
        try:
            match event:
                case HostEvent.OPENED:
                    plugged = decode_plugged(data)
                    self._pull_out(plugged.port, context)
                    plug_in(self.state.sockets[plugged.port - 1], plugged)
                    self._parts(context).hub.plugged(plugged.port)
                case HostEvent.CLOSED:
                    self._pull_out(decode_unplugged(data), context)
                case HostEvent.DATA:
                    message = decode_data(data)
                    function = function_of(self.state.sockets[message.port - 1], message.port, context)
                    if function is not None:
                        function.input(message.what, message.data)
                        self._stir(message.port, context, wake=function.wakes)
                case _:
                    pass
        except MalformedMessage:
            return

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """Moderation, work that was left, the microframe index, or a device's own timer."""
        s = self.state
        if timer == MODERATION:
            self._parts(context).interrupter.elapsed()
        elif timer == DEFERRED:
            s.deferred = False
        elif timer == SILENCE and s.silence_armed:
            self._parts(context).transfers.give_up()
        elif timer == WRAP and s.wrap_armed:
            s.wrap_armed = False
            if s.command & r.CMD_WRAP_EVENTS and s.running:
                wrapped = event(TrbType.FRAME_INDEX_WRAP, 0, Completion.SUCCESS)
                self._parts(context).interrupter.put(wrapped)
            self._count_frames(context)
        elif FIRST_FUNCTION_TIMER < timer <= FIRST_FUNCTION_TIMER + PORTS:
            port = timer - FIRST_FUNCTION_TIMER
            function = function_of(s.sockets[port - 1], port, context)
            if function is not None:
                function.expired()
                self._stir(port, context, wake=False)

    def input_room(self) -> int:
        """What the fullest socket can take."""
        return min(room_of(socket) for socket in self.state.sockets)

    def _parts(self, context: DeviceContext) -> Parts:
        s = self.state
        interrupter = Interrupter(s, context)
        hub = RootHub(s, context, interrupter)
        transfers = Transfers(s, context, hub, interrupter)
        return Parts(interrupter, hub, transfers, Commands(s, context, hub, interrupter, transfers))

    def _work(self, context: DeviceContext) -> None:
        """Commands, then transfers; what is beyond the budget of one message waits for the next sync point."""
        s = self.state
        if not s.running:
            return
        parts = self._parts(context)
        finished = parts.commands.run()
        finished &= parts.transfers.run()
        if not finished and not s.deferred:
            s.deferred = True
            context.arm_timer(DEFERRED, 0)

    def _stir(self, port: int, context: DeviceContext, *, wake: bool) -> None:
        """A device may have changed its mind about what it has not answered."""
        parts = self._parts(context)
        parts.transfers.stir(port)
        if wake:
            parts.hub.wake(port)

    def _pull_out(self, port: int, context: DeviceContext) -> None:
        socket = self.state.sockets[port - 1]
        function = function_of(socket, port, context)
        if function is not None:
            function.unplugged()
            self._stir(port, context, wake=False)
            self._parts(context).hub.unplugged(port)
            pull_out(socket)

    # Registers.

    def _read(self, offset: int, context: DeviceContext) -> int:
        """A 32-bit register."""
        s = self.state
        match offset:
            case r.USB_COMMAND:
                return s.command
            case r.USB_STATUS:
                return s.status
            case r.PAGE_SIZE:
                return 1
            case r.NOTIFICATION_CONTROL:
                return s.notifications
            case r.COMMAND_RING:
                return r.RING_RUNNING if s.ring_running else 0
            case r.CONTEXT_ARRAY:
                return s.context_array & LOW
            case r.CONTEXT_ARRAY_HIGH:
                return s.context_array >> 32
            case r.CONFIGURE:
                return s.configure
            case r.MICROFRAME_INDEX:
                return context.read_clock() // r.MICROFRAME_NS & r.MICROFRAME_MASK if s.running else 0
            case _ if r.PORTS <= offset < r.PORTS_END:
                return self._parts(context).hub.read(offset)
            case _ if r.INTERRUPT_MANAGEMENT <= offset < r.DOORBELLS:
                return self._parts(context).interrupter.read(offset)
            case _:
                return r.CAPABILITIES.get(offset, 0)

    def _write(self, offset: int, value: int, context: DeviceContext) -> None:
        """A store to a 32-bit register; all but doorbells come behind what the doorbells before them have asked for."""
        if r.DOORBELLS <= offset < r.DOORBELLS_END:
            self._ring((offset - r.DOORBELLS) // DWORD, value & 0xFF, context)
            return
        self._work(context)
        s = self.state
        match offset:
            case r.USB_COMMAND:
                self._command(value, context)
            case r.USB_STATUS:
                s.status &= ~(value & r.STS_CLEARED)
            case r.NOTIFICATION_CONTROL:
                s.notifications = value & 0xFFFF
            case r.COMMAND_RING:
                self._parts(context).commands.control(value)
            case r.COMMAND_RING_HIGH if not s.ring_running:
                s.ring = s.ring & LOW | value << 32
            case r.CONTEXT_ARRAY:
                s.context_array = s.context_array & ~LOW | value & ~0x3F
            case r.CONTEXT_ARRAY_HIGH:
                s.context_array = s.context_array & LOW | value << 32
            case r.CONFIGURE:
                s.configure = value & 0xFF
            case _ if r.PORTS <= offset < r.PORTS_END:
                parts = self._parts(context)
                parts.hub.write(offset, value)
                parts.transfers.stir((offset - r.PORTS) // r.PORT_BYTES % PORTS + 1)
            case _ if r.INTERRUPT_MANAGEMENT <= offset < r.DOORBELLS:
                self._parts(context).interrupter.write(offset, value)
            case _:
                pass

    def _ring(self, number: int, target: int, context: DeviceContext) -> None:
        """A doorbell (4.7)."""
        s = self.state
        if not s.running:
            return
        if not number:
            if not target:
                self._parts(context).commands.ring()
            return
        slot = s.slots[number - 1]
        endpoint = find_endpoint(slot, target) if slot.enabled else None
        if endpoint is None or endpoint.phase not in (EndpointPhase.RUNNING, EndpointPhase.STOPPED):
            return
        endpoint.ringing = True
        endpoint.waiting = False
        if endpoint.phase == EndpointPhase.STOPPED:
            endpoint.phase = EndpointPhase.RUNNING
            write_endpoint(context, slot, endpoint)

    def _command(self, value: int, context: DeviceContext) -> None:
        """A store to USBCMD."""
        s = self.state
        if value & r.CMD_RESET:
            self._disarm(context)
            self.state = XhciState(interrupt=s.interrupt, announced=s.announced, sockets=s.sockets)
            self._parts(context).hub.reset()
            return
        was_running = s.running
        s.command = value & r.CMD_KEPT
        if value & r.CMD_SAVE:
            s.status &= ~r.STS_RESTORE_ERROR
        if value & r.CMD_RESTORE:
            # Nothing is kept over a loss of power; the driver begins anew.
            s.status |= r.STS_RESTORE_ERROR
        if s.running and not was_running:
            s.status &= ~r.STS_HALTED
            self._parts(context).hub.started()
        elif was_running and not s.running:
            self._halt()
        self._count_frames(context)

    def _halt(self) -> None:
        """R/S has been cleared: rings stand still until their doorbells ring again."""
        s = self.state
        s.status |= r.STS_HALTED
        s.ring_running = s.ring_ringing = False
        for slot in s.slots:
            for endpoint in slot.endpoints:
                endpoint.ringing = False

    def _count_frames(self, context: DeviceContext) -> None:
        """Arm the wrap's timer while its event is wanted."""
        s = self.state
        if s.running and s.command & r.CMD_WRAP_EVENTS and not s.wrap_armed:
            s.wrap_armed = True
            context.arm_timer(WRAP, WRAP_NS)

    def _disarm(self, context: DeviceContext) -> None:
        s = self.state
        armed = (
            (MODERATION, s.interrupter.moderating),
            (DEFERRED, s.deferred),
            (SILENCE, s.silence_armed),
            (WRAP, s.wrap_armed),
        )
        for timer, is_armed in armed:
            if is_armed:
                context.cancel_timer(timer)
