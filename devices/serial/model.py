"""The 16550A as the guest sees it (TI TL16C550C data sheet; where that leaves a choice, QEMU's).

Lives here: what an access, a byte from outside or a break does.
Never here: sockets, files, clocks; a byte that leaves goes through the context.

As in QEMU the interrupt line is not gated by MCR.OUT2, and no time passes between a byte and the next:
THR is empty again as soon as the queue behind it has room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from devices.serial import registers as r
from devices.serial.state import FIFO_BYTES, TRANSMIT_LIMIT, SerialState
from devices.serial.treatment import changed, is_fast, latch, pack, raises, replace_row, treatment
from machine.message import HostEvent, Register

if TYPE_CHECKING:
    from devices.model import DeviceContext

BREAKS_LIMIT: Final = 2 * FIFO_BYTES
"""Nobody asks for room before a break; beyond this many bytes held it is lost."""


class Serial:
    """One serial line; everything it remembers is in `state`."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = SerialState()

    def reset(self, context: DeviceContext) -> None:
        """Power-on.  The interrupt line and the CPU node's queue are put right by settle()."""
        self._void_mirror(context)
        # Whoever is at the other end does not go because the machine begins anew.
        self.state = SerialState(interrupt=self.state.interrupt, carrier=self.state.carrier)
        self.state.modem_lines = self._modem_lines()

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """A load; what has been stored before it is sent first, so that LSR and IIR know of it."""
        self._transmit(context)
        s = self.state
        match offset:
            case r.DATA:
                return s.divisor & 0xFF if s.divisor_access else self._take()
            case r.INTERRUPT_ENABLE:
                return s.divisor >> 8 if s.divisor_access else s.interrupt_enable
            case r.INTERRUPT_ID:
                return self._read_interrupt_id()
            case r.LINE_CONTROL:
                return s.line_control
            case r.MODEM_CONTROL:
                return s.modem_control
            case r.LINE_STATUS:
                return self._read_line_status()
            case r.MODEM_STATUS:
                value = s.modem_lines | s.modem_deltas
                s.modem_deltas = 0
                return value
            case r.SCRATCH:
                return s.scratch
            case _:
                return 0

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """A store; LSR and MSR cannot be stored to."""
        value &= 0xFF
        s = self.state
        if offset in (r.DATA, r.INTERRUPT_ENABLE) and s.divisor_access:
            keep, shift = (0xFF00, 0) if offset == r.DATA else (0x00FF, 8)
            s.divisor = s.divisor & keep | value << shift
            return
        match offset:
            case r.DATA:
                self._hold(value)
            case r.INTERRUPT_ENABLE:
                self._enable_interrupts(value)
            case r.INTERRUPT_ID:
                self._control_fifos(value, context)
            case r.LINE_CONTROL:
                s.line_control = value
            case r.MODEM_CONTROL:
                # What was stored before loopback goes on or off belongs to the line as it was.
                self._transmit(context)
                s.modem_control = value & r.MCR_MASK
                self._drive_modem_lines()
            case r.SCRATCH:
                s.announced = latch(s.announced, offset, value)
                s.scratch = value
            case _:
                pass

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """The guest has taken bytes from the CPU node's queue."""
        self._forget(count)

    def settle(self, context: DeviceContext) -> None:
        """Send what was stored, announce what changed, hand over what was received, drive the line."""
        self._transmit(context)
        s = self.state
        level = s.interrupt_id != r.IIR_NONE
        driven, s.interrupt = s.interrupt, level
        registers = treatment(s)
        news = changed(registers, s.announced)
        if news:
            context.set_registers(news)
            s.announced = pack(registers)
        self._mirror(context)
        if level != driven:
            context.set_irq(level)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Bytes, a break, room at the backend, somebody coming or going.  Bytes are never refused."""
        s = self.state
        match event:
            case HostEvent.DATA:
                s.received += data
            case HostEvent.BREAK if len(s.received) < BREAKS_LIMIT:
                s.breaks += (len(s.received),)
                s.received += b"\0"
            case HostEvent.OPENED | HostEvent.CLOSED:
                s.carrier = event is HostEvent.OPENED
                s.blocked = False
                self._drive_modem_lines()
            case HostEvent.WRITABLE:
                s.blocked = False
            case _:
                pass

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """There are no timers: bytes take no time."""

    def input_room(self) -> int:
        """Bytes the receiver has room for; none in loopback, where the line is cut."""
        s = self.state
        return 0 if s.loopback else max(0, s.capacity - len(s.received))

    def _take(self) -> int:
        """RBR: the oldest byte, 0 when there is none."""
        value = self.state.received[0] if self.state.received else 0
        self._forget(1)
        return value

    def _forget(self, count: int) -> None:
        """Drop the oldest bytes."""
        s = self.state
        count = min(count, len(s.received))
        s.received = s.received[count:]
        s.mirrored = max(0, s.mirrored - count)
        s.breaks = tuple(at - count for at in s.breaks if at >= count)

    def _read_interrupt_id(self) -> int:
        s = self.state
        source = s.interrupt_id
        if source == r.IIR_TRANSMIT:
            s.transmit_pending = False
        return source | (r.IIR_FIFO if s.fifo_enabled else 0)

    def _read_line_status(self) -> int:
        s = self.state
        value = s.line_status
        s.overrun = False
        s.breaks = tuple(at for at in s.breaks if at)
        return value

    def _hold(self, value: int) -> None:
        """A store to THR: to the line, or to our own receiver in loopback."""
        s = self.state
        if s.loopback:
            s.transmit_pending = True
            if len(s.received) < s.capacity:
                s.received += bytes((value,))
            else:
                s.overrun = True
            return
        s.holding_full = True
        s.transmit_pending = False
        if len(s.transmit) < TRANSMIT_LIMIT:
            s.transmit += bytes((value,))
        else:
            s.dropped += 1

    def _enable_interrupts(self, value: int) -> None:
        s = self.state
        if not s.interrupt:
            # While the line is high the store was a call, and nothing was latched.
            s.interrupt = raises(s.announced, r.INTERRUPT_ENABLE, value)
            s.announced = latch(s.announced, r.INTERRUPT_ENABLE, value)
        new = value & r.IER_MASK
        # Enabling it while THR is empty raises it again, even when IIR has reported it before (as QEMU and
        # the chip do; drivers rely on it).
        if new & ~s.interrupt_enable & r.IER_TRANSMIT and not s.holding_full:
            s.transmit_pending = True
        s.interrupt_enable = new

    def _control_fifos(self, value: int, context: DeviceContext) -> None:
        """FCR.  Switching the FIFOs on or off empties both."""
        self._transmit(context)
        s = self.state
        switched = bool((value ^ s.fifo_control) & r.FCR_ENABLE)
        if switched or value & r.FCR_CLEAR_RECEIVER:
            self._void_mirror(context)
            s.received = b""
            s.breaks = ()
        if switched or value & r.FCR_CLEAR_TRANSMITTER:
            s.transmit = b""
            s.blocked = False
        s.fifo_control = value & r.FCR_KEPT if value & r.FCR_ENABLE else 0

    def _drive_modem_lines(self) -> None:
        """MSR follows its lines; each change leaves its mark."""
        s = self.state
        lines = self._modem_lines()
        deltas = (lines ^ s.modem_lines) >> 4
        if lines & r.MSR_RING:
            deltas &= ~r.MSR_RING_DELTA
        s.modem_deltas |= deltas
        s.modem_lines = lines

    def _modem_lines(self) -> int:
        """The other end's, or MCR in loopback."""
        s = self.state
        if s.loopback:
            control = s.modem_control
            # RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD.
            return (control & 0x02) << 3 | (control & 0x01) << 5 | (control & 0x0C) << 4
        return r.MSR_CARRIER | r.MSR_DSR | r.MSR_CTS if s.carrier else 0

    def _transmit(self, context: DeviceContext) -> None:
        """Give the backend everything that waits, in one piece, unless it still owes us its WRITABLE."""
        s = self.state
        if s.transmit and not s.blocked:
            result = context.output(s.transmit)
            s.transmit = s.transmit[result.accepted :]
            if result.error:
                # A line with nobody at the other end loses what is sent.
                s.dropped += len(s.transmit)
                s.transmit = b""
            s.blocked = bool(s.transmit)
        if s.holding_full and len(s.transmit) < FIFO_BYTES:
            s.holding_full = False
            s.transmit_pending = True

    def _mirror(self, context: DeviceContext) -> None:
        """Let the CPU node hold what it may give out."""
        s = self.state
        if not is_fast(s):
            # Announcing RBR as a call has emptied the CPU node's queue.
            s.mirrored = 0
        elif s.mirrored < len(s.received):
            context.push_fifo(s.received[s.mirrored :])
            s.mirrored = len(s.received)

    def _void_mirror(self, context: DeviceContext) -> None:
        """Empty the CPU node's queue: a register announced as a call has none."""
        s = self.state
        if s.mirrored:
            data = Register(r.DATA)
            context.set_registers((data,))
            s.announced = replace_row(s.announced, data)
            s.mirrored = 0
