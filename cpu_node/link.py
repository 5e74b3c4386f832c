"""The CPU node's side of the conversation with the broker: what is sent, and what comes in which order.

Lives here: waiting for a frame, sorting flow control from deliveries.
Never here: what a delivery does to the machine (cpu_node/bus.py).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from machine.codec import decode, name_of, type_of
from machine.errors import Divergence, RemoteWireError
from machine.frame import FIRST_INPUT_TYPE, Frame
from machine.icount import BROKER, Icount, Seq, Stamp
from machine.message import (
    Credit,
    Grant,
    Kick,
    Load,
    Message,
    PagesTaken,
    Pause,
    Paused,
    Proceed,
    Save,
    Saved,
    SavedPages,
    Shutdown,
    SyncPoint,
)
from machine.message_state import MOST_UNTAKEN
from machine.node import ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.port import Port

CREDIT_EVERY: Final = 512
"""Deliveries between two Credits: the broker streams a recording at most a few of these ahead."""
_KICK: Final = type_of(Kick)
_PAUSE: Final = type_of(Pause)
_SAVE: Final = type_of(Save)
_PROCEED: Final = type_of(Proceed)
_LOAD: Final = type_of(Load)
_SHUTDOWN: Final = type_of(Shutdown)
_GRANT: Final = type_of(Grant)
_SYNC_POINT: Final = type_of(SyncPoint)
_PAGES_TAKEN: Final = type_of(PagesTaken)
_SAVED_PAGES: Final = type_of(SavedPages)


class Visitor(Protocol):
    """A debugger, as far as the link knows it."""

    def wait(self, *, standing: bool) -> None:
        """Wait until it or the broker wants something; deal with it, if it is the visitor who does.

        `standing`: the CPU stands between two instructions, and may be held.
        """


class Link:
    """Frames to and from the broker, seen from the one CPU."""

    paused = False
    """The broker wants the CPU to stand still."""
    pause_at: int | None = None
    """It wants it to at exactly this instruction."""
    save_wanted = False
    """It wants to be told the state."""
    save_whole = False
    """And all of memory."""
    asleep = False
    """The guest waits for an interrupt: the CPU stands between two instructions while it waits for a frame."""
    visitor: Visitor | None = None
    """Somebody who may want something while the CPU waits."""
    talked = 0
    """Logged messages between the CPU and others; the loop counts anew with each Grant."""
    let_go = False
    """The broker wants no debugger to hold the CPU any more."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._waiting: deque[Frame] = deque()
        self._taken = 0
        self._load: Load | None = None
        self._may_proceed = False
        self._untaken = 0
        self._put: Callable[[SavedPages], None] | None = None
        self._ticket = 0
        self._told = False
        """The last Pause has been answered."""
        self.kicked = False

    def send(self, message: Message, target: int, icount: int) -> None:
        """Say something that holds at an instruction count."""
        self.talked += type_of(type(message)) >= FIRST_INPUT_TYPE
        self._port.send(message, target, icount)

    def look(self) -> bool:
        """Take in what has come, without waiting; whether the broker has kicked.  ShutDown if the machine ends."""
        while self._port.pending():
            frame = self._port.receive(0)
            if frame is not None and not self._is_flow(frame):
                self._waiting.append(frame)
        return self.kicked

    def begins_anew(self) -> bool:
        """Wait for what is said behind the end: whether that is a sync point, which the machine goes on with."""
        while not self._waiting:
            self._take_in()
        return self._waiting[0].type == _SYNC_POINT

    def await_word(self) -> bool:
        """Wait for what a sleeping CPU may be told; False if that is to tell its state."""
        while not self._waiting and not self.save_wanted:
            self._take_in()
        return bool(self._waiting)

    def rest(self, icount: int, now_ns: int) -> Load | None:
        """Say that the CPU stands still, and take in what comes until it may go on.  ShutDown if the machine ends.

        A state that it is to be in instead comes back at once; what was said before belongs to the one before.
        """
        while self.paused and self._load is None:
            if not self._told:
                self._told = True
                self.send(Paused(self._ticket, virtual_ns=now_ns), BROKER, icount)
            self._take_in()
        return self.take_load()

    def await_shutdown(self) -> NoReturn:
        """Nothing is done any more, whatever has been streamed; ends with ShutDown."""
        while True:
            self._take_in()

    def await_load(self, put: Callable[[SavedPages], None]) -> Load:
        """The state that the CPU starts with; `put` is given the memory that a broker on another host tells with it."""
        self._put = put
        while (load := self.take_load()) is None:
            self._take_in()
        self._put = None
        return load

    def take_load(self) -> Load | None:
        """The state that has come."""
        load, self._load = self._load, None
        return load

    def saved(self, saved: Saved, icount: int) -> None:
        """Tell the state, and stand until every other node has told its own."""
        self.save_wanted = self._may_proceed = False
        self.send(saved, BROKER, icount)
        while not self._may_proceed:
            self._take_in()

    def pages(self, part: SavedPages) -> None:
        """Tell a part of memory; waits while too many are under way."""
        self.send(part, BROKER, 0)
        self._untaken += 1
        while self._untaken >= MOST_UNTAKEN:
            self._take_in()

    def next(self, icount: int) -> tuple[Frame, Message]:
        """The next delivery or Grant, waiting for it.

        ShutDown if the machine ends; Divergence if the delivery is of another instruction count.
        """
        while True:
            while not self._waiting:
                self._take_in()
            frame = self._waiting.popleft()
            self._count()
            self.talked += frame.type >= FIRST_INPUT_TYPE
            message = decode(frame.type, frame.payload)
            if frame.type != _GRANT and frame.icount != icount:
                raise self._misplaced(frame, icount)
            return frame, message

    def _take_in(self) -> None:
        """Wait until somebody has said something, and take it in if it was the broker."""
        timeout_s = None
        if self.visitor is not None and not self._port.pending():
            self.visitor.wait(standing=self.asleep or self.paused)
            timeout_s = 0
        frame = self._port.receive(timeout_s)
        if frame is not None and not self._is_flow(frame):
            self._waiting.append(frame)

    def _is_flow(self, frame: Frame) -> bool:
        if frame.type >= FIRST_INPUT_TYPE:
            return False
        if frame.type == _SHUTDOWN:
            raise ShutDown
        if frame.type == _KICK:
            self.kicked = True
        elif frame.type == _PROCEED:
            self._may_proceed = True
        elif frame.type == _PAGES_TAKEN:
            self._untaken -= 1
        elif frame.type == _SAVED_PAGES and self._put is not None:
            part = decode(frame.type, frame.payload)
            assert isinstance(part, SavedPages)
            self._put(part)
            self._port.send(PagesTaken(), BROKER, 0)
        elif frame.type in (_PAUSE, _LOAD, _SAVE):
            self._obey(decode(frame.type, frame.payload))
        else:
            return False
        return True

    def _obey(self, message: Message) -> None:
        if isinstance(message, Pause) and message.let_go:
            self.let_go = True
        elif isinstance(message, Pause):
            self.paused = message.on and message.at_icount is None
            self.pause_at = message.at_icount if message.on else None
            self._ticket, self._told = message.ticket, False
        elif isinstance(message, Save):
            self.save_wanted, self.save_whole = True, message.whole
        elif isinstance(message, Load):
            self._load = message
            self._waiting.clear()
            self.kicked = self.save_wanted = False

    def _misplaced(self, frame: Frame, icount: int) -> Divergence:
        stamp = Stamp(Icount(frame.icount), Seq(frame.seq))
        expected = f"the CPU to take it at {frame.icount}"
        return Divergence(stamp, "cpu", name_of(frame.type), expected, f"it stands at {icount}")

    def protocol_error(self, message: Message, where: str) -> RemoteWireError:
        """The broker has sent something that does not belong here."""
        return RemoteWireError(f"cpu: {type(message).__name__} from the broker {where}")

    def _count(self) -> None:
        self._taken += 1
        if self._taken % CREDIT_EVERY == 0:
            self._port.send(Credit(), BROKER, 0)
