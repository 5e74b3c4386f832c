"""A port that attends to something else beside the broker while it waits: a node's one loop stays one.

Only those have it who were asked for metrics or talk to another host: anybody else's port costs what it cost before.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from machine.codec import type_of
from machine.port import Port
from machine.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.frame import Frame
    from machine.message import Message


class AttendedPort(Port):
    """Port, with descriptors that are served wherever the port is looked at or waited for."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._serve: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._epoll.register(super().wake_fd, select.EPOLLIN)
        self.traffic = Traffic()

    def attend(self, descriptor: int, serve: Callable[[], None]) -> None:
        """Call `serve` when the descriptor is readable."""
        self._serve[descriptor] = serve
        self._epoll.register(descriptor, select.EPOLLIN)

    def queue(self, message: Message, target: int, icount: int) -> None:
        """Add a message to the next breath."""
        super().queue(message, target, icount)
        self.traffic.sent(type_of(type(message)), len(self._outgoing[-1]))

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame; None when none came in time.  RemoteWireError if it is no frame."""
        frame = super().receive(timeout_s)
        if frame is not None:
            self.traffic.received(frame.type, len(frame.payload))
        return frame

    def pending(self) -> bool:
        """Whether receive() would return at once."""
        self._attend()
        return super().pending()

    @property
    def wake_fd(self) -> int:
        """A descriptor that becomes readable when something may have come; ask pending() then."""
        return self._epoll.fileno()

    def close(self, linger_ms: int | None = None) -> None:
        """Send the rest and close."""
        self._epoll.close()
        if linger_ms is None:
            super().close()
        else:
            super().close(linger_ms)

    def _attend(self, timeout_s: float | None = 0.0) -> None:
        """Wait for anything, and serve what is not the broker's."""
        for descriptor, _ in self._epoll.poll(timeout_s):
            serve = self._serve.get(descriptor)
            if serve is not None:
                serve()

    def _check(self) -> None:
        """Raise what has been noticed; called when nothing more is there to be taken."""

    def _fetch(self, timeout_s: float | None) -> bool:
        # The host's clock bounds a wait here, and means nothing to the guest.
        deadline = None if timeout_s is None else time.monotonic() + timeout_s  # noqa: TID251
        left: float | None = timeout_s
        while not super()._fetch(0):
            self._check()
            self._attend(left)
            if deadline is not None:
                if left is not None and left <= 0:
                    return super()._fetch(0)
                left = max(0.0, deadline - time.monotonic())  # noqa: TID251
        return True
