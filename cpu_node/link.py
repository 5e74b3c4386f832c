"""The CPU node's side of the conversation with the broker: what is sent, and what comes in which order.

Lives here: waiting for a frame, sorting flow control from deliveries.
Never here: what a delivery does to the machine (cpu_node/bus.py).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from machine.codec import decode, name_of, type_of
from machine.errors import Divergence, RemoteWireError
from machine.frame import Frame
from machine.icount import BROKER, Icount, Seq, Stamp
from machine.message import Credit, Grant, Kick, Message, Pause, Paused, Shutdown
from machine.node import ShutDown
from machine.port import Port

CREDIT_EVERY: Final = 512
"""Deliveries between two Credits: the broker streams a recording at most a few of these ahead."""
_KICK: Final = type_of(Kick)
_PAUSE: Final = type_of(Pause)
_SHUTDOWN: Final = type_of(Shutdown)
_GRANT: Final = type_of(Grant)


class Link:
    """Frames to and from the broker, seen from the one CPU."""

    paused = False
    """The broker wants the CPU to stand still."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._waiting: deque[Frame] = deque()
        self._taken = 0
        self.kicked = False

    def send(self, message: Message, target: int, icount: int) -> None:
        """Say something that holds at an instruction count."""
        self._port.send(message, target, icount)

    def look(self) -> bool:
        """Take in what has come, without waiting; whether the broker has kicked.  ShutDown if the machine ends."""
        while self._port.pending():
            frame = self._port.receive(0)
            if frame is not None and not self._is_flow(frame):
                self._waiting.append(frame)
        return self.kicked

    def rest(self, icount: int) -> None:
        """Say that the CPU stands still, and take in what comes until it may go on.  ShutDown if the machine ends."""
        self.send(Paused(), BROKER, icount)
        while self.paused:
            frame = self._port.receive()
            if frame is not None and not self._is_flow(frame):
                self._waiting.append(frame)

    def next(self, icount: int) -> tuple[Frame, Message]:
        """The next delivery or Grant, waiting for it.

        ShutDown if the machine ends; Divergence if the delivery is of another instruction count.
        """
        while True:
            frame = self._waiting.popleft() if self._waiting else self._port.receive()
            assert frame is not None
            if self._is_flow(frame):
                continue
            self._count()
            message = decode(frame.type, frame.payload)
            if frame.type != _GRANT and frame.icount != icount:
                raise self._misplaced(frame, icount)
            return frame, message

    def _is_flow(self, frame: Frame) -> bool:
        if frame.type > _PAUSE:
            return False
        if frame.type == _SHUTDOWN:
            raise ShutDown
        if frame.type == _KICK:
            self.kicked = True
        elif frame.type == _PAUSE:
            message = decode(frame.type, frame.payload)
            assert isinstance(message, Pause)
            self.paused = message.on
        else:
            return False
        return True

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
