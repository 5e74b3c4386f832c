"""How the CPU node is to treat the 16550A's registers: a pure function of the state.

In the ordinary state (DLAB and loopback off, no line error) the guest sends and polls without asking the
device; in every other state each access is a call.  One row is eight bytes: offset, read kind, write
kind, value, latch mask, call mask, FIFO mask, raise mask; SerialState.announced is eight of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from devices.serial import registers as r
from machine.message import ReadKind, Register, WriteKind

if TYPE_CHECKING:
    from devices.serial.state import SerialState

ROW_BYTES: Final = 8
VALUE_COLUMN: Final = 3


def treatment(state: SerialState) -> tuple[Register, ...]:
    """The treatment of each register, in the order of their offsets."""
    if not is_fast(state):
        return tuple(Register(offset) for offset in range(r.REGISTERS))
    shadow = ReadKind.SHADOW
    status = state.line_status & ~r.LSR_DATA
    modem = Register(r.MODEM_STATUS, shadow, value=state.modem_lines)
    return (
        Register(r.DATA, ReadKind.FIFO, WriteKind.POSTED),
        _interrupt_enable(state),
        Register(r.INTERRUPT_ID),
        Register(r.LINE_CONTROL, shadow, value=state.line_control),
        Register(r.MODEM_CONTROL, shadow, value=state.modem_control),
        Register(r.LINE_STATUS, shadow, value=status, fifo_mask=r.LSR_DATA),
        Register(r.MODEM_STATUS) if state.modem_deltas else modem,
        Register(r.SCRATCH, shadow, WriteKind.POSTED, state.scratch, latch_mask=0xFF),
    )


def is_fast(state: SerialState) -> bool:
    """Whether the received bytes are the CPU node's to give out."""
    return not (state.divisor_access or state.loopback or state.overrun or state.breaks)


def pack(registers: tuple[Register, ...]) -> bytes:
    """The rows of registers."""
    return b"".join(_row(reg) for reg in registers)


def changed(registers: tuple[Register, ...], announced: bytes) -> list[Register]:
    """Those whose row differs from the announced one."""
    return [reg for i, reg in enumerate(registers) if _row(reg) != announced[i * ROW_BYTES : (i + 1) * ROW_BYTES]]


def replace_row(announced: bytes, register: Register) -> bytes:
    """The rows with one register's exchanged."""
    start = register.offset * ROW_BYTES
    return announced[:start] + _row(register) + announced[start + ROW_BYTES :]


def latch(announced: bytes, offset: int, value: int) -> bytes:
    """The rows after the CPU node has posted a store and latched its value; as they were if it was a call."""
    row = bytearray(announced[offset * ROW_BYTES : (offset + 1) * ROW_BYTES])
    if not row:
        return announced
    _, _, write, held, latch_mask, call_mask, _, _ = row
    if write != WriteKind.POSTED or value & call_mask:
        return announced
    row[VALUE_COLUMN] = (held & ~latch_mask | value & latch_mask) & 0xFF
    return announced[: offset * ROW_BYTES] + bytes(row) + announced[(offset + 1) * ROW_BYTES :]


def raises(announced: bytes, offset: int, value: int) -> bool:
    """Whether the CPU node has raised the interrupt line with a store it has posted."""
    row = announced[offset * ROW_BYTES : (offset + 1) * ROW_BYTES]
    if not row:
        return False
    _, _, write, held, _, call_mask, _, raise_mask = row
    return write == WriteKind.POSTED and not value & call_mask and bool(value & ~held & raise_mask)


def _interrupt_enable(state: SerialState) -> Register:
    """IER: a store is a call when it could move the interrupt line at once, but for the commonest such store:
    enabling the transmitter's interrupt while THR is empty raises the line without asking."""
    value = state.interrupt_enable
    if state.interrupt:
        return Register(r.INTERRUPT_ENABLE, ReadKind.SHADOW, value=value)
    call_mask = (r.IER_RECEIVED if state.received else 0) | (r.IER_MODEM if state.modem_deltas else 0)
    raise_mask = 0 if state.holding_full else r.IER_TRANSMIT
    posted = Register(r.INTERRUPT_ENABLE, ReadKind.SHADOW, WriteKind.POSTED, value, r.IER_MASK, call_mask)
    return replace(posted, raise_mask=raise_mask)


def _row(reg: Register) -> bytes:
    return bytes(
        (reg.offset, reg.read, reg.write, reg.value, reg.latch_mask, reg.call_mask, reg.fifo_mask, reg.raise_mask)
    )
