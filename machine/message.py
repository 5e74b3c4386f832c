"""The messages as frozen dataclasses: the only shapes the rest of the program knows.

docs/wire.md is the authority on what each means; the comments here are only reminders.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

WIRE_VERSION = 1


class MessageClass(IntEnum):
    """What the log and a replay do with a message."""

    CONTROL = 0
    INPUT = 1
    DERIVED = 2


class AccessKind(IntEnum):
    """What the guest did to a register."""

    WRITE = 1
    READ = 2
    POP = 3


class ReadKind(IntEnum):
    """How the CPU node answers a load."""

    CALL = 1
    SHADOW = 2
    FIFO = 3


class WriteKind(IntEnum):
    """What the CPU node does with a store."""

    CALL = 1
    POSTED = 2


class HostEvent(IntEnum):
    """What happened at a backend."""

    DATA = 1
    WRITABLE = 2
    OPENED = 3
    CLOSED = 4
    BREAK = 5


class DigestScope(IntEnum):
    """What a digest covers."""

    REGISTERS = 1
    ALL = 2


class PowerOffReason(IntEnum):
    """Why a run ended; OUTSIDE means that somebody other than the guest ended it."""

    OUTSIDE = 0
    SHUTDOWN = 1
    REBOOT = 2
    FAILURE = 3


class RunMode(IntEnum):
    """What the broker does with the log."""

    NONE = 1
    RECORD = 2
    REPLAY_LOG = 3
    REPLAY_LIVE = 4


class FaultCode(IntEnum):
    """What kind of failure a node reports."""

    SETUP = 1
    INTERNAL = 2
    DIVERGENCE = 3


class RunState(IntEnum):
    """Where a machine is in its life."""

    STARTING = 1
    RUNNING = 2
    ENDED = 3
    FAILED = 4
    DIVERGED = 5
    STOPPED = 6


@dataclass(frozen=True, slots=True)
class Hello:
    """A node's first message."""

    wire_version: int
    node: str
    pid: int
    memory_path: str = ""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The broker lets a node in."""

    number: int
    mode: RunMode
    memory_path: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker does not let a node in."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A node has opened everything it needs."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A node cannot go on."""

    code: FaultCode
    detail: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The machine ends; every node leaves."""


@dataclass(frozen=True, slots=True)
class Sync:
    """The CPU stands at a sync point; `timer_ns` is the way to its next timer while the guest sleeps."""

    idle: bool = False
    timer_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The CPU may run: to exactly `until_icount`, or to the first sync point from `wake_ns` on."""

    until_icount: int | None = None
    wake_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Kick:
    """Something waits for the CPU's next sync point."""


@dataclass(frozen=True, slots=True)
class Credit:
    """The CPU has used up one stretch of streamed messages."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The CPU stands at the instruction it was to stop at."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """How is the machine?"""


@dataclass(frozen=True, slots=True)
class Status:
    """How the machine is."""

    state: RunState
    icount: int = 0
    end_icount: int = 0
    messages: int = 0
    inputs: int = 0
    digest: bytes = b""
    detail: str = ""
    power_off_reason: PowerOffReason = PowerOffReason.OUTSIDE


@dataclass(frozen=True, slots=True)
class Quit:
    """End the run at the next sync point."""


@dataclass(frozen=True, slots=True)
class SyncPoint:
    """Opens the deliveries of one sync point; `idle_ns` of virtual time pass here."""

    idle_ns: int = 0


@dataclass(frozen=True, slots=True)
class Reset:
    """A device's power-on."""


@dataclass(frozen=True, slots=True)
class HostInput:
    """A backend has something; not delivered before `delay_ns` after the submitting stamp."""

    event: HostEvent
    data: bytes = b""
    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class BackendResult:
    """What became of a HostOutput: bytes taken and the host's errno."""

    accepted: int
    error: int = 0


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The host's real-time clock in nanoseconds since the Unix epoch."""

    unix_ns: int


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Somebody outside ends the run here."""


@dataclass(frozen=True, slots=True)
class StateRequest:
    """Tell the digest of your state."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows."""

    reason: PowerOffReason


@dataclass(frozen=True, slots=True)
class Access:
    """One register access; for POP a row of `value` equal ones, with `data` a row of one-byte stores."""

    kind: AccessKind
    offset: int
    size: int
    value: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class MmioAccess:
    """What the guest did to one device since it was last told; only the last may be a READ."""

    accesses: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Every effect has been sent; `value` answers the READ, if there was one."""

    value: int = 0


@dataclass(frozen=True, slots=True)
class IrqLevel:
    """The level of the device's interrupt line."""

    level: bool


@dataclass(frozen=True, slots=True)
class Register:
    """How the CPU node treats one register; see docs/wire.md."""

    offset: int
    read: ReadKind = ReadKind.CALL
    write: WriteKind = WriteKind.CALL
    value: int = 0
    latch_mask: int = 0
    call_mask: int = 0
    fifo_mask: int = 0
    raise_mask: int = 0


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """Replaces the treatment of the registers it names."""

    registers: tuple[Register, ...]


@dataclass(frozen=True, slots=True)
class FifoData:
    """Values appended to the device's queue in the CPU node."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DmaWrite:
    """A device stores bytes into guest memory."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TimerArm:
    """A device's timer runs out `delay_ns` of virtual time after the stamp."""

    timer: int
    delay_ns: int


@dataclass(frozen=True, slots=True)
class TimerCancel:
    """A device disarms a timer."""

    timer: int


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """A device's timer has run out."""

    timer: int


@dataclass(frozen=True, slots=True)
class HostOutput:
    """Bytes, or one packet, for the backend."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ClockRead:
    """A device asks for the host's clock."""


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 of a node's state."""

    scope: DigestScope
    digest: bytes


@dataclass(frozen=True, slots=True)
class PowerOff:
    """The guest has switched the machine off."""

    reason: PowerOffReason


Message = (
    Hello | Welcome | Refused | Ready | Fault | Shutdown
    | Sync | Grant | Kick | Credit | Stopped
    | StatusRequest | Status | Quit
    | SyncPoint | Reset | HostInput | BackendResult | ClockReading | StopRequest | StateRequest | End
    | MmioAccess | Done | IrqLevel | RegisterMap | FifoData | DmaWrite | TimerArm | TimerCancel | TimerExpired
    | HostOutput | ClockRead | Digest | PowerOff
)  # fmt: skip
