"""The supervisor binary interface: what a kernel may ask of the firmware.

Source: RISC-V Supervisor Binary Interface Specification 2.0: chapters 3 (calling convention),
4 (base), 5 (legacy), 6 (time), 7 (IPI), 8 (RFENCE), 9 (HSM), 10 (SRST), 12 (DBCN).
One hart, number 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from machine.message import PowerOffReason

if TYPE_CHECKING:
    from cpu_node.arch.spec import Host

SUCCESS: Final = 0
ERR_FAILED: Final = -1
ERR_NOT_SUPPORTED: Final = -2
ERR_INVALID_PARAM: Final = -3
ERR_INVALID_ADDRESS: Final = -5
ERR_ALREADY_AVAILABLE: Final = -6

SPEC_VERSION: Final = 2 << 24
IMPLEMENTATION_ID: Final = 0x64_76
"""No number has been given to this firmware; this one is nobody's."""
IMPLEMENTATION_VERSION: Final = 1

BASE: Final = 0x10
TIME: Final = 0x5449_4D45
IPI: Final = 0x73_5049
RFENCE: Final = 0x5246_4E43
HSM: Final = 0x48_534D
SRST: Final = 0x5352_5354
DBCN: Final = 0x4442_434E
LEGACY_SET_TIMER: Final = 0
LEGACY_PUTCHAR: Final = 1
LEGACY_GETCHAR: Final = 2
LEGACY_SHUTDOWN: Final = 8
MAX_CONSOLE_WRITE: Final = 4096
"""A longer console write is taken in part, as the specification allows."""

Result = tuple[int, int]


class FirmwareTarget(Protocol):
    """What the firmware works on."""

    def set_timer(self, ticks: int) -> None:
        """Arm the supervisor timer at a time in timebase ticks, and take its interrupt back."""

    def raise_software_interrupt(self) -> None:
        """Raise the hart's supervisor software interrupt."""


def call(extension: int, function: int, a: tuple[int, ...], target: FirmwareTarget, host: Host) -> Result:
    """One call: extension (a7), function (a6), arguments (a0 to a5) -> (error, value)."""
    handler = EXTENSIONS.get(extension)
    if handler is None:
        return ERR_NOT_SUPPORTED, 0
    return handler(function, a, target, host)


def _base(function: int, a: tuple[int, ...], _target: FirmwareTarget, _host: Host) -> Result:
    match function:
        case 0:
            return SUCCESS, SPEC_VERSION
        case 1:
            return SUCCESS, IMPLEMENTATION_ID
        case 2:
            return SUCCESS, IMPLEMENTATION_VERSION
        case 3:
            return SUCCESS, int(a[0] in EXTENSIONS)
        case 4 | 5 | 6:
            return SUCCESS, 0
        case _:
            return ERR_NOT_SUPPORTED, 0


def _time(function: int, a: tuple[int, ...], target: FirmwareTarget, _host: Host) -> Result:
    if function != 0:
        return ERR_NOT_SUPPORTED, 0
    target.set_timer(a[0])
    return SUCCESS, 0


def _selects_hart(mask: int, base: int) -> bool | None:
    """Whether a hart mask names hart 0; None when it names one that is not there."""
    if base == (1 << 64) - 1:
        return True
    if (base != 0 and mask) or mask & ~1:
        return None
    return bool(mask & 1)


def _ipi(function: int, a: tuple[int, ...], target: FirmwareTarget, _host: Host) -> Result:
    if function != 0:
        return ERR_NOT_SUPPORTED, 0
    selected = _selects_hart(a[0], a[1])
    if selected is None:
        return ERR_INVALID_PARAM, 0
    if selected:
        target.raise_software_interrupt()
    return SUCCESS, 0


def _rfence(function: int, a: tuple[int, ...], _target: FirmwareTarget, host: Host) -> Result:
    # Functions 3 to 6 are for a hypervisor, which this CPU is not.
    if function > 2:  # noqa: PLR2004
        return ERR_NOT_SUPPORTED, 0
    selected = _selects_hart(a[0], a[1])
    if selected is None:
        return ERR_INVALID_PARAM, 0
    if selected:
        # Code and address translations alike: dropping both is always right, and rare with one hart.
        host.flush_code()
    return SUCCESS, 0


def _hsm(function: int, a: tuple[int, ...], _target: FirmwareTarget, _host: Host) -> Result:
    if function == 0:
        return (ERR_ALREADY_AVAILABLE if a[0] == 0 else ERR_INVALID_PARAM), 0
    if function == 2:  # noqa: PLR2004
        return (SUCCESS, 0) if a[0] == 0 else (ERR_INVALID_PARAM, 0)
    # The only hart cannot be stopped, and suspending is what wfi does.
    return (ERR_FAILED if function == 1 else ERR_NOT_SUPPORTED), 0


def _srst(function: int, a: tuple[int, ...], _target: FirmwareTarget, host: Host) -> Result:
    if function != 0:
        return ERR_NOT_SUPPORTED, 0
    kind, reason = a[0] & 0xFFFF_FFFF, a[1] & 0xFFFF_FFFF
    if kind > 2 or (1 < reason < 0xE000_0000):  # noqa: PLR2004
        return ERR_INVALID_PARAM, 0
    if kind != 0:
        host.power_off(PowerOffReason.REBOOT)
    else:
        host.power_off(PowerOffReason.SHUTDOWN if reason == 0 else PowerOffReason.FAILURE)
    return SUCCESS, 0


def _dbcn(function: int, a: tuple[int, ...], _target: FirmwareTarget, host: Host) -> Result:
    match function:
        case 0:
            size = min(a[0], MAX_CONSOLE_WRITE)
            host.console_write(host.read_memory(a[1], size))
            return SUCCESS, size
        case 1:
            return SUCCESS, 0
        case 2:
            host.console_write(bytes([a[0] & 0xFF]))
            return SUCCESS, 0
        case _:
            return ERR_NOT_SUPPORTED, 0


def _legacy_set_timer(_f: int, a: tuple[int, ...], target: FirmwareTarget, _host: Host) -> Result:
    target.set_timer(a[0])
    return SUCCESS, 0


def _legacy_putchar(_f: int, a: tuple[int, ...], _target: FirmwareTarget, host: Host) -> Result:
    host.console_write(bytes([a[0] & 0xFF]))
    return SUCCESS, 0


def _legacy_getchar(_f: int, _a: tuple[int, ...], _target: FirmwareTarget, _host: Host) -> Result:
    return ERR_FAILED, 0


def _legacy_shutdown(_f: int, _a: tuple[int, ...], _target: FirmwareTarget, host: Host) -> Result:
    host.power_off(PowerOffReason.SHUTDOWN)
    return SUCCESS, 0


EXTENSIONS: Final[Mapping[int, Callable[[int, tuple[int, ...], FirmwareTarget, Host], Result]]] = {
    LEGACY_SET_TIMER: _legacy_set_timer,
    LEGACY_PUTCHAR: _legacy_putchar,
    LEGACY_GETCHAR: _legacy_getchar,
    LEGACY_SHUTDOWN: _legacy_shutdown,
    BASE: _base,
    TIME: _time,
    IPI: _ipi,
    RFENCE: _rfence,
    HSM: _hsm,
    SRST: _srst,
    DBCN: _dbcn,
}
