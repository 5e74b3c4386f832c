"""What every session is to the server, and what they share.

Lives here: the interface, the books that sessions keep alike.
Never here: sockets (replay_broker/server.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final

from machine import message as m
from machine.codec import decode, encode, name_of, type_of
from machine.errors import RemoteWireError
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.recording.format import node_name, node_names
from machine.vmstate import encode as encode_state
from replay_broker.snapshots.state import BrokerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from machine.board import Board
    from machine.recording.place import Point
    from replay_broker.outcome import Outcome

    Send = Callable[[Frame], None]

FROM_CPU: Final = frozenset(
    type_of(cls)
    for cls in (
        m.Saved, m.Sync, m.Credit, m.Stopped, m.Paused, m.Settle, m.Fault, m.MmioAccess, m.TimerExpired, m.Digest,
        m.PowerOff, m.DmaData, m.SavedPages, m.Rouse, m.DebuggerWrite,
    )
)  # fmt: skip
FROM_DEVICE: Final = frozenset(
    type_of(cls)
    for cls in (
        m.Saved, m.Quit, m.Fault, m.HostInput, m.BackendResult, m.Done, m.IrqLevel, m.RegisterMap, m.FifoData,
        m.DmaWrite, m.TimerArm, m.TimerCancel, m.HostOutput, m.ClockRead, m.EntropyRead, m.Digest,
        m.BackendChanged, m.DmaRead, m.Checkpoint,
    )
)  # fmt: skip


class Hold(Enum):
    """Whether somebody wants the guest to stand still, and whether it does."""

    RUNNING = 1
    PAUSING = 2
    PAUSED = 3


class Session(ABC):
    """One run of the machine, from the moment all nodes are ready."""

    name: ClassVar[str]

    def __init__(self, board: Board, send: Send) -> None:
        self.board = board
        self.icount = 0
        self.begin_icount = self.end_icount = 0
        """Where a replay may stand."""
        self.outcome: Outcome | None = None
        self.hold = Hold.RUNNING
        self.resets = 0
        """How often the machine has begun anew; `reset_by_guest`: the last time because the guest asked for it."""
        self.reset_by_guest = False
        self.saving = False
        """The CPU has been asked for its state and has not told it."""
        self.debugged = False
        """A debugger has the CPU stand still."""
        self._resume_wanted = False
        self.stood = False
        """It stood still before its CPU died, and is about to stand again: nobody has let it go."""
        self.standing_ns = 0
        """The virtual time where the CPU has last stood still, in nanoseconds."""
        self.ticket = 0
        """Of the last Pause; a session that takes another's place goes on counting."""
        self._runs_to = False
        """It runs, and stands still by itself where it was told to."""
        self._send_frame = send
        self._handlers: Mapping[int, Callable[[Frame], None]] = {}

    @property
    @abstractmethod
    def messages(self) -> int:
        """Messages stamped so far."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Inputs among them."""

    @abstractmethod
    def start(self) -> None:
        """All nodes are ready."""

    @abstractmethod
    def handle(self, frame: Frame) -> None:
        """A frame from a node; its source has been checked."""

    def waiting(self) -> Mapping[int, int]:
        """Inputs that have not been delivered, by device."""
        return {}

    def timeout_ns(self) -> int | None:
        """Nanoseconds until tick() is wanted; None when only a frame changes anything."""
        return None

    def tick(self) -> None:  # noqa: B027  # most sessions have nothing to do
        """Time has passed."""

    def write_down(self) -> None:  # noqa: B027  # only who records writes
        """Everything has been sent: what nobody waits for may be done.  LogError."""

    def pause(self) -> None:
        """Have the guest stand still; nothing of that is guest-visible or logged.  `hold` tells when it does."""
        self._resume_wanted = False
        if self.hold is Hold.RUNNING:
            self.hold = Hold.PAUSING
            self._tell_pause(on=True)

    def resume(self) -> None:
        """Let it go on.  One that does not stand yet goes on when it does: the CPU answers each Pause first."""
        if self.hold is Hold.PAUSING:
            self._resume_wanted = True
        elif self.hold is Hold.PAUSED:
            self.hold = Hold.RUNNING
            self._tell_pause(on=False)

    def let_go(self) -> None:
        """Let it go on, whoever has it stand still."""
        self.resume()

    @property
    def held(self) -> str:
        """Who has the guest stand still, as QMP calls it: "paused", the monitor; "debug", a debugger; "", nobody."""
        if self.debugged:
            return "debug"
        return "paused" if self.hold is Hold.PAUSED or self.stood else ""

    def stands_awake(self) -> bool:
        """Whether the CPU stands still between two stretches of its engine, where it cannot tell its state."""
        return self.hold is Hold.PAUSED

    def run_to(self, icount: int) -> None:
        """Let it go on to exactly an instruction and stand there."""
        self.hold, self._runs_to = Hold.RUNNING, True
        self._tell_pause(on=True, at_icount=icount)

    def _tell_pause(self, *, on: bool, at_icount: int | None = None) -> None:
        self.ticket += 1
        self.send(m.Pause(on, at_icount, self.ticket), CPU, self.icount)

    def on_paused(self, frame: Frame) -> bool:
        """The CPU says that it stands still; False if that is no answer to the last Pause."""
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.Paused)
        if message.held is not None:
            self.icount, self.debugged = max(self.icount, frame.icount), message.held
            return False
        if message.ticket != self.ticket:
            return False
        self.icount, self.standing_ns = frame.icount, message.virtual_ns
        self.stands_still()
        return True

    def stands_still(self) -> None:
        """It does, or it sleeps and is left asleep."""
        if self.hold is Hold.PAUSING or self._runs_to:
            self._runs_to = self.stood = False
            self.hold = Hold.PAUSED
            if self._resume_wanted:
                self.resume()

    def may_save(self) -> bool:
        """Whether the CPU may be asked for its state now; if not, soon."""
        return self.outcome is None

    @abstractmethod
    def point(self, icount: int) -> Point:
        """Which messages have happened when the CPU tells its state at an instruction count.  LogError."""

    def broker_state(self) -> bytes:
        """Canonical bytes of what is in no message: nothing, where all that comes is in a log."""
        return encode_state(BrokerState())

    def saved(self) -> None:
        """Every node has told its state; the CPU runs on."""
        self.saving = False

    @abstractmethod
    def quit(self) -> None:
        """Somebody outside wants the run to end."""

    @abstractmethod
    def fail(self, outcome: Outcome) -> None:
        """The run cannot go on."""

    def send(self, message: m.Message, target: int, icount: int) -> None:
        """Send an unlogged message of the broker's own."""
        frame = Frame(type_of(type(message)), BROKER, target, icount, encode(message))
        self._send_frame(frame)

    def node_name(self, number: int) -> str:
        """A node's name on the board, or what stands for one that a log has and the board has not."""
        return node_name(node_names(self.board), number)


def check_origin(frame: Frame, name: str, nodes: int) -> None:
    """RemoteWireError unless this node may say this to that one; `name` is the sender's."""
    allowed = FROM_CPU if frame.source == CPU else FROM_DEVICE
    if frame.type not in allowed:
        raise RemoteWireError(f"{name} may not send {name_of(frame.type)}")
    if not 0 <= frame.target < nodes or frame.target == frame.source:
        raise RemoteWireError(f"{name} sent {name_of(frame.type)} to node {frame.target}, which is none")
