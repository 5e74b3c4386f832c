"""The messages as frozen dataclasses: the only shapes the rest of the program knows.

docs/wire.md is the authority on what each means; the comments here are only reminders.
"""

from __future__ import annotations

from dataclasses import dataclass

from machine.message_enums import (
    AccessKind as AccessKind,
    DigestScope as DigestScope,
    FaultCode as FaultCode,
    HostEvent as HostEvent,
    MessageClass as MessageClass,
    NodeState as NodeState,
    PowerOffReason as PowerOffReason,
    ReadKind as ReadKind,
    RunMode as RunMode,
    RunState as RunState,
    WriteKind as WriteKind,
)
from machine.message_hold import DebuggerWrite as DebuggerWrite, Pause as Pause, Paused as Paused, Rouse as Rouse
from machine.message_parts import (
    Access as Access,
    NodeStatus as NodeStatus,
    Register as Register,
    StateVersion as StateVersion,
)
from machine.message_rebuild import (
    Checkpoint as Checkpoint,
    MemoryMoved as MemoryMoved,
    Present as Present,
)
from machine.message_state import (
    Load as Load,
    PagesTaken as PagesTaken,
    Proceed as Proceed,
    Save as Save,
    Saved as Saved,
    SavedPages as SavedPages,
)

WIRE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Hello:
    """A node's first message."""

    wire_version: int
    node: str
    pid: int
    memory_path: str = ""
    host: str = ""
    metrics: str = ""
    types: tuple[int, ...] = ()
    """The numbers of every message this node may send or understands; () does not say."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """The broker lets a node in."""

    number: int
    mode: RunMode
    memory_path: str = ""
    rebuild: bool = False
    continued: str = ""
    continued_seq: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker does not let a node in."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A node has opened everything it needs.

    `states` are those it remembers itself in; one that stands in for another says from where it needs the past.
    """

    states: tuple[StateVersion, ...] = ()
    from_seq: int = 0


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
    """The CPU may run: to `until_icount`, or where `pc` is next there, or to the first sync point from `wake_ns` on."""

    until_icount: int | None = None
    wake_ns: int | None = None
    pc: int | None = None
    after: int = 0


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
class Settle:
    """Has everything that devices wrote been stored?  It has."""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """How is the machine?  With `nodes`: and each of its processes?"""

    nodes: bool = False


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
    waiting_for: str = ""
    refused: int = 0
    icount_per_s: int = 0
    messages_per_s: int = 0
    remote_bytes: int = 0
    mode: RunMode = RunMode.NONE
    nodes: tuple[NodeStatus, ...] = ()
    held: str = ""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the run at the next sync point; `power_off`: press the guest's power key instead."""

    power_off: bool = False


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """Whoever started a process of the machine has seen it end."""

    node: str
    pid: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ChangeBackend:
    """Put another backend behind a device."""

    node: str
    word: str


@dataclass(frozen=True, slots=True)
class BackendChanged:
    """The backend has been changed, or why not."""

    error: str = ""


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
class Entropy:
    """Random bytes, as many as were asked for."""

    data: bytes


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
class DmaRead:
    """A device on another host reads guest memory."""

    address: int
    size: int


@dataclass(frozen=True, slots=True)
class DmaData:
    """What is there."""

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
class EntropyRead:
    """A device asks for 1 to 4096 random bytes."""

    size: int


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
    | Save | Saved | SavedPages | PagesTaken | Load | Proceed
    | Checkpoint | Present | MemoryMoved
    | Sync | Grant | Kick | Credit | Stopped | Pause | Paused
    | Settle | StatusRequest | Status | Quit | ChangeBackend | BackendChanged | ProcessEnded
    | SyncPoint | Reset | HostInput | BackendResult | ClockReading | StopRequest | StateRequest | End
    | Entropy | Rouse | DebuggerWrite
    | MmioAccess | Done | IrqLevel | RegisterMap | FifoData | DmaWrite | TimerArm | TimerCancel | TimerExpired
    | DmaRead | DmaData | HostOutput | ClockRead | EntropyRead | Digest | PowerOff
)  # fmt: skip
