"""The messages as immutable structs: the only shapes the rest of the program knows.

docs/wire.md is the authority on what each means; the comments here are only reminders.
"""

from __future__ import annotations

from machine.message_base import MessageStruct
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


class Hello(MessageStruct):
    """A node's first message."""

    wire_version: int
    node: str
    pid: int
    memory_path: str = ""
    host: str = ""
    metrics: str = ""
    types: tuple[int, ...] = ()
    """The numbers of every message this node may send or understands; () does not say."""


class Welcome(MessageStruct):
    """The broker lets a node in."""

    number: int
    mode: RunMode
    memory_path: str = ""
    rebuild: bool = False
    continued: str = ""
    continued_seq: int = 0
    backend: str = ""
    backend_seq: int = 0


class Refused(MessageStruct):
    """The broker does not let a node in."""

    reason: str


class Ready(MessageStruct):
    """A node has opened everything it needs.

    `states` are those it remembers itself in; one that stands in for another says from where it needs the past.
    """

    states: tuple[StateVersion, ...] = ()
    from_seq: int = 0


class Fault(MessageStruct):
    """A node cannot go on."""

    code: FaultCode
    detail: str


class Shutdown(MessageStruct):
    """The machine ends; every node leaves."""


class Sync(MessageStruct):
    """The CPU stands at a sync point; `timer_ns` is the way to its next timer while the guest sleeps."""

    idle: bool = False
    timer_ns: int | None = None


class Grant(MessageStruct):
    """The CPU may run: to `until_icount`, or where `pc` is next there, or to the first sync point from `wake_ns` on.

    With `gathered` it stops at `until_icount` only if just that waits for `device` there, and runs on otherwise.
    """

    until_icount: int | None = None
    wake_ns: int | None = None
    pc: int | None = None
    after: int = 0
    gathered: bytes = b""
    device: int = 0


class Kick(MessageStruct):
    """Something waits for the CPU's next sync point."""


class Credit(MessageStruct):
    """The CPU has used up one stretch of streamed messages."""


class Stopped(MessageStruct):
    """The CPU stands at the instruction it was to stop at."""

    digest: bytes


class Settle(MessageStruct):
    """Has everything that devices wrote been stored?  It has."""


class StatusRequest(MessageStruct):
    """How is the machine?  With `nodes`: and each of its processes?"""

    nodes: bool = False


class Status(MessageStruct):
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


class Quit(MessageStruct):
    """End the run at the next sync point; `power_off`: press the guest's power key instead."""

    power_off: bool = False


class ProcessEnded(MessageStruct):
    """Whoever started a process of the machine has seen it end."""

    node: str
    pid: int = 0
    detail: str = ""


class ChangeBackend(MessageStruct):
    """Put another backend behind a device."""

    node: str
    word: str


class BackendChanged(MessageStruct):
    """The backend has been changed, or why not; `stays`: it was told to be another one."""

    error: str = ""
    stays: bool = False


class SyncPoint(MessageStruct):
    """Opens the deliveries of one sync point; `idle_ns` of virtual time pass here."""

    idle_ns: int = 0


class Reset(MessageStruct):
    """A device's power-on."""


class HostInput(MessageStruct):
    """A backend, or the monitor, has something; not delivered before `delay_ns` after the submitting stamp."""

    event: HostEvent
    data: bytes = b""
    delay_ns: int = 0
    by_monitor: bool = False


class BackendResult(MessageStruct):
    """What became of a HostOutput: bytes taken and the host's errno."""

    accepted: int
    error: int = 0


class ClockReading(MessageStruct):
    """The host's real-time clock in nanoseconds since the Unix epoch."""

    unix_ns: int


class Entropy(MessageStruct):
    """Random bytes, as many as were asked for."""

    data: bytes


class StopRequest(MessageStruct):
    """Somebody outside ends the run here."""


class StateRequest(MessageStruct):
    """Tell the digest of your state."""


class End(MessageStruct):
    """Nothing follows."""

    reason: PowerOffReason


class MmioAccess(MessageStruct):
    """What the guest did to one device since it was last told; only the last may be a READ."""

    accesses: tuple[Access, ...]


class Done(MessageStruct):
    """Every effect has been sent; `value` answers the READ, if there was one."""

    value: int = 0


class IrqLevel(MessageStruct):
    """The level of the device's interrupt line."""

    level: bool


class RegisterMap(MessageStruct):
    """Replaces the treatment of the registers it names."""

    registers: tuple[Register, ...]


class FifoData(MessageStruct):
    """Values appended to the device's queue in the CPU node."""

    data: bytes


class DmaWrite(MessageStruct):
    """A device stores bytes into guest memory."""

    address: int
    data: bytes


class DmaRead(MessageStruct):
    """A device on another host reads guest memory."""

    address: int
    size: int


class DmaData(MessageStruct):
    """What is there."""

    data: bytes


class TimerArm(MessageStruct):
    """A device's timer runs out `delay_ns` of virtual time after the stamp."""

    timer: int
    delay_ns: int


class TimerCancel(MessageStruct):
    """A device disarms a timer."""

    timer: int


class TimerExpired(MessageStruct):
    """A device's timer has run out."""

    timer: int


class HostOutput(MessageStruct):
    """Bytes, or one packet, for the backend."""

    data: bytes


class ClockRead(MessageStruct):
    """A device asks for the host's clock."""


class EntropyRead(MessageStruct):
    """A device asks for 1 to 4096 random bytes."""

    size: int


class Digest(MessageStruct):
    """SHA-256 of a node's state."""

    scope: DigestScope
    digest: bytes


class PowerOff(MessageStruct):
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
