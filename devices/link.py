"""A device's side of the wire: what it says carries the stamp of the message it is handling.

Lives here: saying, asking and waiting for the one answer.
Never here: what the messages mean to a device.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from machine.codec import decode, name_of
from machine.errors import RemoteWireError
from machine.icount import BROKER
from machine.message import ChangeBackend, MemoryMoved, Message, PagesTaken, Present, SavedPages, Shutdown
from machine.node import ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.frame import Frame
    from machine.port import Port

M = TypeVar("M")


class Link:
    """The port and the instruction count of the message being handled."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._aside: deque[Frame] = deque()
        """What came while an answer was waited for and can wait itself."""
        self.icount = 0
        self.interrupt: Callable[[Present | MemoryMoved], None] = _nobody
        """Whom to tell what must be heard while an answer is waited for."""

    @property
    def wake_fd(self) -> int:
        """Becomes readable when something may have come; ask pending() then."""
        return self._port.wake_fd

    def pending(self) -> bool:
        """Whether next() has a frame."""
        return bool(self._aside) or self._port.pending()

    def next(self) -> Frame | None:
        """The next frame, None if there is none; RemoteWireError if it is not for this node."""
        if self._aside:
            return self._aside.popleft()
        frame = self._port.receive(0)
        if frame is not None and frame.target != self._port.number:
            raise RemoteWireError(f"{name_of(frame.type)} for node {frame.target} came to node {self._port.number}")
        return frame

    def await_memory(self) -> None:
        """Wait until another process is the CPU, which `interrupt` is told; what comes before that waits.  ShutDown."""
        while True:
            frame = self._port.receive(None)
            assert frame is not None, "there is no end to this wait"
            message = decode(frame.type, frame.payload)
            if isinstance(message, MemoryMoved):
                self.interrupt(message)
                return
            if isinstance(message, Shutdown):
                raise ShutDown
            self._aside.append(frame)

    def take_parts(self, take: Callable[[SavedPages], object]) -> None:
        """Take what a broker on another host tells in front of Load, which waits for next().  ShutDown."""
        while True:
            frame = self._port.receive(None)
            assert frame is not None, "there is no end to this wait"
            message = decode(frame.type, frame.payload)
            if isinstance(message, Shutdown):
                raise ShutDown
            if not isinstance(message, SavedPages):
                self._aside.append(frame)
                return
            take(message)
            self._port.send(PagesTaken(), BROKER, 0)

    def say(self, message: Message, target: int) -> None:
        """Add a message to the next breath."""
        self._port.queue(message, target, self.icount)

    def flush(self) -> None:
        """Send what has been said."""
        self._port.flush()

    def ask(self, question: Message, answer: type[M], target: int = BROKER) -> M:
        """Ask and wait: the broker feeds nothing else meanwhile but Shutdown; RemoteWireError if it does."""
        message = self.ask_past(question, answer, target)
        while message is None:
            # The past ended here; the question has been asked, and its answer is still to come.
            message = self.ask_past(None, answer)
        return message

    def ask_past(self, question: Message | None, answer: type[M], target: int = BROKER) -> M | None:
        """The same; None if the past ends instead (Present), which `interrupt` has heard."""
        if question is not None:
            self.say(question, target)
            self.flush()
        while True:
            frame = self._port.receive(None)
            assert frame is not None, "there is no end to this wait"
            message = decode(frame.type, frame.payload)
            if isinstance(message, ChangeBackend):
                self._aside.append(frame)
            elif isinstance(message, Present | MemoryMoved):
                self.interrupt(message)
                if isinstance(message, Present):
                    return None
            else:
                break
        if isinstance(message, Shutdown):
            raise ShutDown
        if not isinstance(message, answer):
            raise RemoteWireError(f"the broker answered {answer.__name__} with {name_of(frame.type)}")
        return message


def _nobody(_message: object) -> None:
    raise AssertionError("a device without a past was told of its present")
