"""A session on a stage: what it sends is gathered, what nodes say is said by the test; no test lives here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

import msgspec

from machine.board import Board, DeviceSlot
from machine.codec import decode, encode, type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU, FIRST_DEVICE
from machine.message import Done, End, Grant, Kick, Pause, PowerOff, PowerOffReason, Reset, Sync, SyncPoint
from machine.recording.chain import Chain
from machine.recording.place import Place, Point
from machine.recording.reader import Recording
from replay_broker.session.record import RecordSession
from tests.unit.machine.recordings import write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from machine.message import Message
    from replay_broker.session.base import Session

SERIAL: Final = FIRST_DEVICE
RTC: Final = FIRST_DEVICE + 1
BOARD: Final = Board(
    "stage",
    sleep=False,
    devices=(
        DeviceSlot("serial0", "serial", 0x1000_0000, 10),
        DeviceSlot("rtc0", "rtc", 0x10_1000, 11, backend="fixed:7"),
    ),
)

Said = tuple[int, int, int, "Message"]
"""icount, source, target, message."""
RUN: Final[Sequence[Said]] = (
    (0, BROKER, CPU, SyncPoint()),
    (0, BROKER, SERIAL, Reset()),
    (0, SERIAL, BROKER, Done()),
    (300, CPU, BROKER, PowerOff(PowerOffReason.SHUTDOWN)),
    (300, BROKER, BROKER, End(PowerOffReason.SHUTDOWN)),
)
"""A machine that is switched on and off."""


class TalliedLedger:
    """A ledger that keeps every stamped frame in memory."""

    keeps = True

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.messages = 0
        self.inputs = 0
        self.closed: bool | None = None
        self._chain = Chain()

    def enter(self, frame: Frame) -> Frame:
        """Stamp and keep."""
        self.messages += 1
        stamped = Frame(frame.type, frame.source, frame.target, frame.icount, frame.payload, self.messages)
        self.frames.append(stamped)
        self._chain.add(stamped)
        return stamped

    def write_down(self) -> None:
        """It is kept already."""

    def tick(self) -> None:
        """Nothing is due."""

    def due_in_ns(self) -> int | None:
        """Never."""
        return None

    def mark(self) -> Point:
        """Where it stands."""
        icount = self.frames[-1].icount if self.frames else 0
        return Point(Place(icount=icount), self.messages, self.inputs, self._chain.digest())

    def digest(self) -> bytes:
        """The chain."""
        return self._chain.digest()

    def close(self, *, clean: bool) -> None:
        """Remember how."""
        self.closed = clean

    def said(self) -> list[Said]:
        """What was stamped, decoded."""
        return [(f.icount, f.source, f.target, decode(f.type, f.payload)) for f in self.frames]


@dataclass
class Stage:
    """What a session has sent since the last look, as (target, message)."""

    frames: list[Frame] = field(default_factory=list)

    def send(self, frame: Frame) -> None:
        """What the session calls."""
        self.frames.append(frame)

    def take(self) -> list[tuple[int, Message]]:
        """Everything sent since the last take; the tickets of Pauses, which only count up, are left out."""
        frames, self.frames = self.frames, []
        messages = ((frame.target, decode(frame.type, frame.payload)) for frame in frames)
        return [(node, _without_ticket(said)) for node, said in messages]


def _without_ticket(message: Message) -> Message:
    return msgspec.structs.replace(message, ticket=0) if isinstance(message, Pause) else message


def frame_of(message: Message, source: int, target: int, icount: int, seq: int = 0) -> Frame:
    """A message as it travels."""
    return Frame(type_of(type(message)), source, target, icount, encode(message), seq)


def say(session: Session, message: Message, source: int, icount: int = 0, target: int = BROKER) -> None:
    """A node says something."""
    session.handle(frame_of(message, source, target, icount))


class Recorded:
    """A recording session, and the machine that it is of."""

    def __init__(self, *, sleep: bool = False, kind: type[RecordSession] = RecordSession) -> None:
        self.stage = Stage()
        self.ledger = TalliedLedger()
        self.session = kind(replace(BOARD, sleep=sleep), self.stage.send, self.ledger)

    def power_on(self) -> Self:
        """The first sync point."""
        self.session.start()
        say(self.session, Sync(), CPU)
        for device in (SERIAL, RTC):
            say(self.session, Done(), device)
        self.stage.take()
        return self


def recording_of(path: Path, said: Sequence[Said], *, close: bool = True) -> Recording:
    """A recording in which these things were said."""
    frames = tuple(
        frame_of(message, source, target, icount, seq) for seq, (icount, source, target, message) in enumerate(said, 1)
    )
    return Recording.open(write(path, frames, close=close, board=BOARD))


def flow(sent: list[tuple[int, Message]]) -> list[Message]:
    """The unlogged messages to the CPU among those."""
    return [message for target, message in sent if target == CPU and isinstance(message, Grant | Kick)]
