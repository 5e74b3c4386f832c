"""The root hub: ports, what is plugged into them, and the events that say that it has changed (xHCI 4.19).

Each socket is a USB 2.0 port and a USB 3.0 port; a device appears at the one of its speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.usb import registers as r
from devices.usb.contexts import SlotPhase
from devices.usb.functions.socket import function_of
from devices.usb.trb import Completion, TrbType, event

if TYPE_CHECKING:
    from devices.model import DeviceContext
    from devices.usb.functions.base import Function
    from devices.usb.interrupter import Interrupter
    from devices.usb.state import PortState, XhciState


class RootHub:
    """The ports for the length of one message.  Ports are numbered from 1, as the guest does."""

    __slots__ = ("_context", "_interrupter", "_state")

    def __init__(self, state: XhciState, context: DeviceContext, interrupter: Interrupter) -> None:
        self._state = state
        self._context = context
        self._interrupter = interrupter

    def read(self, offset: int) -> int:
        """A port's 32-bit register."""
        port = self._state.ports[(offset - r.PORTS) // r.PORT_BYTES]
        match offset % r.PORT_BYTES:
            case r.PORT_STATUS:
                return port.status
            case r.PORT_POWER:
                return port.power
            case r.PORT_LPM:
                return port.lpm
            case _:
                return port.link

    def write(self, offset: int, value: int) -> None:
        """A store to a port's register."""
        number = (offset - r.PORTS) // r.PORT_BYTES + 1
        port = self._state.ports[number - 1]
        match offset % r.PORT_BYTES:
            case r.PORT_STATUS:
                self._control(number, port, value)
            case r.PORT_POWER:
                port.power = value
            case r.PORT_LPM if not _is_super(number):
                port.lpm = value & 0x3FFF
            case _:
                pass

    def function(self, number: int) -> Function | None:
        """What is plugged into a port."""
        socket = (number - 1) % (r.MAX_PORTS // 2) + 1
        function = function_of(self._state.sockets[socket - 1], socket, self._context)
        if function is None or (function.speed == r.SPEED_SUPER) != _is_super(number):
            return None
        return function

    def reachable(self, number: int) -> bool:
        """Whether transfers go through a port: it is enabled."""
        return bool(self._state.ports[number - 1].status & r.PORT_ENABLED)

    def suspended(self, number: int) -> bool:
        """Whether transfers wait: the port's link is not in U0 to U2."""
        return _link(self._state.ports[number - 1]) in (r.LINK_U3, r.LINK_RESUME)

    def plugged(self, socket: int) -> None:
        """Something has been plugged into a socket."""
        for number in (socket, socket + r.MAX_PORTS // 2):
            function = self.function(number)
            if function is not None:
                self._connect(number, function)

    def unplugged(self, socket: int) -> None:
        """What was plugged into a socket has gone."""
        for number in (socket, socket + r.MAX_PORTS // 2):
            port = self._state.ports[number - 1]
            if port.status & r.PORT_CONNECTED:
                port.status &= ~(r.PORT_CONNECTED | r.PORT_ENABLED | r.PORT_SPEED_MASK)
                _set_link(port, r.LINK_RX_DETECT)
                self._changed(number, r.PORT_CONNECT_CHANGE)
                for slot in self._state.slots:
                    slot.attached = slot.attached and slot.port != number

    def wake(self, socket: int) -> None:
        """A device wants to wake its suspended port (4.15.2.2)."""
        for number in (socket, socket + r.MAX_PORTS // 2):
            port = self._state.ports[number - 1]
            if port.status & r.PORT_CONNECTED and _link(port) == r.LINK_U3:
                _set_link(port, r.LINK_RESUME)
                self._changed(number, r.PORT_LINK_CHANGE)

    def reset(self) -> None:
        """The controller has been reset: every port is as after power-on with its device already there."""
        for number, port in enumerate(self._state.ports, 1):
            port.status = r.PORT_POWERED | r.LINK_RX_DETECT << r.PORT_LINK_SHIFT
            port.power = port.lpm = 0
            function = self.function(number)
            if function is not None:
                function.reset()
                self._connect(number, function)

    def started(self) -> None:
        """The controller runs: changes from before are told now."""
        for number, port in enumerate(self._state.ports, 1):
            if port.status & r.PORT_CHANGES:
                self._tell(number)

    def _connect(self, number: int, function: Function) -> None:
        port = self._state.ports[number - 1]
        port.status |= r.PORT_CONNECTED | function.speed << r.PORT_SPEED_SHIFT
        if _is_super(number):
            # A SuperSpeed link trains by itself.
            port.status |= r.PORT_ENABLED
            _set_link(port, r.LINK_U0)
        else:
            _set_link(port, r.LINK_POLLING)
        self._changed(number, r.PORT_CONNECT_CHANGE)

    def _control(self, number: int, port: PortState, value: int) -> None:
        """A store to PORTSC."""
        port.status = port.status & ~(value & r.PORT_CHANGES) & ~r.PORT_KEPT | value & r.PORT_KEPT
        if value & r.PORT_WARM_RESET and _is_super(number):
            self._reset_port(number, port, r.PORT_RESET_CHANGE | r.PORT_WARM_RESET_CHANGE)
        elif value & r.PORT_RESET:
            self._reset_port(number, port, r.PORT_RESET_CHANGE)
        elif value & r.PORT_ENABLED and port.status & r.PORT_ENABLED:
            port.status &= ~r.PORT_ENABLED
            _set_link(port, r.LINK_DISABLED if _is_super(number) else r.LINK_POLLING)
        elif value & r.PORT_LINK_STROBE:
            self._set_link_state(number, port, value >> r.PORT_LINK_SHIFT & 0xF)

    def _reset_port(self, number: int, port: PortState, changes: int) -> None:
        """A port reset takes no time (4.19.5)."""
        function = self.function(number)
        if function is None or not port.status & r.PORT_CONNECTED:
            return
        self._reset_device(number, function)
        port.status |= r.PORT_ENABLED
        _set_link(port, r.LINK_U0)
        self._changed(number, changes)

    def _reset_device(self, number: int, function: Function) -> None:
        """A device that has been reset does not answer to the address it had."""
        function.reset()
        for slot in self._state.slots:
            if slot.port == number and slot.phase > SlotPhase.DEFAULT:
                slot.attached = False

    def _set_link_state(self, number: int, port: PortState, wanted: int) -> None:
        """A store to PORTSC.PLS: suspending, resuming, and a SuperSpeed link's off and on."""
        link = _link(port)
        enabled = port.status & r.PORT_ENABLED
        match wanted:
            case r.LINK_U3 if enabled:
                _set_link(port, r.LINK_U3)
            case r.LINK_RESUME if enabled and link == r.LINK_U3 and not _is_super(number):
                _set_link(port, r.LINK_RESUME)
            case r.LINK_U0 if enabled and link in (r.LINK_U3, r.LINK_RESUME):
                _set_link(port, r.LINK_U0)
                self._changed(number, r.PORT_LINK_CHANGE)
            case r.LINK_DISABLED if _is_super(number):
                port.status &= ~r.PORT_ENABLED
                _set_link(port, r.LINK_DISABLED)
            case r.LINK_RX_DETECT if _is_super(number) and link == r.LINK_DISABLED:
                _set_link(port, r.LINK_RX_DETECT)
                function = self.function(number)
                if function is not None:
                    self._reset_device(number, function)
                    self._connect(number, function)
            case _:
                pass

    def _changed(self, number: int, changes: int) -> None:
        """Set change bits; the first of them is told."""
        port = self._state.ports[number - 1]
        silent = port.status & r.PORT_CHANGES
        port.status |= changes
        if not silent and self._state.running:
            self._tell(number)

    def _tell(self, number: int) -> None:
        self._state.status |= r.STS_PORT_CHANGE
        self._interrupter.put(event(TrbType.PORT_STATUS_CHANGE, number << 24, Completion.SUCCESS))


def _is_super(number: int) -> bool:
    return number > r.MAX_PORTS // 2


def _link(port: PortState) -> int:
    return port.status >> r.PORT_LINK_SHIFT & 0xF


def _set_link(port: PortState, link: int) -> None:
    port.status = port.status & ~r.PORT_LINK_MASK | link << r.PORT_LINK_SHIFT
