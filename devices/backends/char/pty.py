"""A pseudo-terminal: any terminal program may open its other side, and close it again.

While nobody has it open, output is taken and dropped.  A master whose slave is closed reports a hang-up
for as long as that lasts; so that this wakes nobody, an edge-triggered epoll watches for the next sign of life.
"""

from __future__ import annotations

import logging
import os
import select
import tty
from typing import TYPE_CHECKING, Final

from devices.backends.char.base import CharBackend, refuse_argument
from devices.backends.char.sink import write_nonblocking
from machine.errors import BackendError, reason_of
from machine.message import BackendResult, HostEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.model import Backend, Submit

log = logging.getLogger("dejavm")
MASTER: Final = "master"
"""What is left to a successor."""


class PtyBackend(CharBackend):
    """The master side."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.path = ""
        """The slave's device file, while open."""
        self._master = -1
        self._edges: select.epoll | None = None
        self._poller = select.poll()
        self._blocked = False

    def open(self, submit: Submit) -> None:
        """Make the pair and say where its other side is; BackendError if there is none to be had."""
        super().open(submit)
        try:
            self._master, slave = os.openpty()
            tty.setraw(slave)
            self.path = os.ttyname(slave)
            os.close(slave)
            os.set_blocking(self._master, False)
        except OSError as error:
            raise BackendError(f"{self._name}: cannot make a pseudo-terminal: {reason_of(error)}") from error
        if self._estate is not None:
            self._estate.leave(MASTER, self._master)
        self._watch()
        log.warning("char device redirected to %s (%s)", self.path, self._name)

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """The predecessor's pair; keys that it has read and not told are lost."""
        kept = self._estate.find(MASTER) if self._estate is not None else ()
        if not kept:
            return False
        super().open(submit)
        self._master, self._blocked = kept[0], owes
        self._watch()
        return True

    def _watch(self) -> None:
        self._poller.register(self._master, select.POLLIN)
        self._edges = select.epoll()
        self._edges.register(self._master, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def close(self) -> None:
        """Give the pair back."""
        if self._edges is not None:
            self._edges.close()
            self._edges = None
        if self._estate is not None:
            self._estate.take_out(MASTER)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """The master while the other side is open or has left something; else the watch for its coming back."""
        assert self._edges is not None
        state = self._state()
        left = bool(state & select.POLLIN) and room > 0
        if state & select.POLLHUP and not left and not self._blocked:
            return [(self._edges.fileno(), True, False)]
        if room > 0 or self._blocked:
            return [(self._master, room > 0, self._blocked)]
        return ()

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """Read what has been typed, or go on writing."""
        assert self._edges is not None
        # An edge that has been seen must be taken, or the watch stays ready.
        self._edges.poll(0)
        if readable and room > 0:
            self._read(room)
        if writable and self._blocked:
            self._blocked = False
            self._submit(HostEvent.WRITABLE, b"", 0)

    def write(self, data: bytes) -> BackendResult:
        """Write as much as goes; what nobody can read is dropped."""
        if self._state() & select.POLLHUP:
            return BackendResult(len(data))
        result = write_nonblocking(self._master, data)
        if result.error:
            # The other side was closed in this moment.
            return BackendResult(len(data))
        self._blocked = result.accepted < len(data)
        return result

    def _state(self) -> int:
        found = self._poller.poll(0)
        return found[0][1] if found else 0

    def _read(self, room: int) -> None:
        try:
            data = os.read(self._master, room)
        except OSError:
            # EIO: the slave is closed (pty(7)); EAGAIN: somebody looked, nothing was typed.
            return
        if data:
            self._submit(HostEvent.DATA, data, 0)


def create_pty(argument: str, name: str) -> Backend:
    """`pty`."""
    refuse_argument("pty", argument, name)
    return PtyBackend(name)
