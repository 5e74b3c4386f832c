"""Between the processes of one timeline: whole messages, JSON, over a pair of sockets; and sockets themselves."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from typing import Any, Final

from cpu_node.debugger import Hit, Order, Stop, Why
from machine.errors import MachineError

Message = dict[str, Any]
LARGEST: Final = 1 << 17


class Gone(MachineError):
    """The other side is no more."""

    def __init__(self) -> None:
        super().__init__("a process of the timeline has ended")


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """A channel, and the socket of its other end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._end.fileno()

    def send(self, message: Message, end: socket.socket | None = None) -> None:
        """Say something, and hand over a socket; Gone."""
        data = json.dumps(message).encode()
        try:
            socket.send_fds(self._end, [data], [] if end is None else [end.fileno()])
        except OSError as error:
            raise Gone from error

    def receive(self) -> tuple[Message, socket.socket | None]:
        """What the other side says next, waiting for it; Gone."""
        try:
            data, ends, _, _ = socket.recv_fds(self._end, LARGEST, 1)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        message: Message = json.loads(data)
        return message, socket.socket(fileno=ends[0]) if ends else None

    def close(self) -> None:
        """Let go of it."""
        self._end.close()


def stop_as_message(stop: Stop) -> Message:
    """A Stop as it travels."""
    return {"stop": asdict(stop)}


def stop_of(message: Message) -> Stop:
    """A Stop that has travelled."""
    row = dict(message["stop"])
    hit = row.pop("hit")
    return Stop(**{**row, "why": Why(row["why"])}, hit=None if hit is None else Hit(**hit))


def order_as_message(order: Order) -> Message:
    """An Order as it travels."""
    return {"resume": asdict(order)}


def order_of(message: Message) -> Order:
    """An Order that has travelled."""
    return Order(**message["resume"])


def end_of_process(code: int = 0) -> None:
    """End a forked process without any of Python's farewells, which are its parent's."""
    os._exit(code)
