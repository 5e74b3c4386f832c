"""gdb's server in front of a recording: one gdb at a time, and one loop that waits for it or for the history.

Theory of operation.  Whatever gdb asks for is done while it waits; while the history runs, gdb's socket is looked at
too, for its interrupt and for its end.  A gdb that goes leaves the history where it is, for the next one.
"""

from __future__ import annotations

import logging
import select
from typing import TYPE_CHECKING, Final

from cpu_node.gdbstub.session import Leave, Session
from cpu_node.timeline.history import Interrupted
from machine.errors import RemoteWireError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from cpu_node.gdbstub.listener import Listener
    from cpu_node.gdbstub.past import PastTarget
    from cpu_node.timeline.history import History
    from cpu_node.timeline.replica import Replica

log = logging.getLogger("dejavm")
READ_BYTES: Final = 1 << 16


class Line:
    """The connection of the gdb that is there; also the history's Patience."""

    def __init__(self) -> None:
        self.connection: socket.socket | None = None
        self.session: Session | None = None

    def open(self, connection: socket.socket, session: Session) -> None:
        """A gdb has come."""
        self.connection, self.session = connection, session

    def close(self) -> None:
        """It has gone."""
        if self.connection is not None:
            self.connection.close()
        self.connection = self.session = None

    def wait(self, replicas: Sequence[Replica]) -> Replica:
        """See Patience: gdb interrupts, or is gone."""
        if self.session is not None and self.session.wants_stop():
            raise Interrupted  # it has come with the packet that lets the machine go
        by_fd = {replica.channel.fileno(): replica for replica in replicas}
        while True:
            gdb = [] if self.connection is None else [self.connection.fileno()]
            ready = select.select([*by_fd, *gdb], [], [])[0]
            if set(gdb) & set(ready) and (not self.receive() or (self.session and self.session.wants_stop())):
                raise Interrupted
            for fd in ready:
                if fd in by_fd:
                    return by_fd[fd]

    def listen(self) -> bool:
        """Wait for what gdb says next, for as long as whoever sits there thinks; False if it is gone."""
        if self.connection is not None:
            select.select([self.connection], [], [])
        return self.receive()

    def receive(self) -> bool:
        """Take in what gdb has said; False if it is gone."""
        if self.connection is None or self.session is None:
            return False
        try:
            data = self.connection.recv(READ_BYTES)
            self.session.receive(data)
        except (OSError, RemoteWireError) as error:
            log.info("gdb: %s", error)
            data = b""
        if not data:
            self.close()
        return bool(data)

    def send(self) -> None:
        """Send what the session has to say; the line is closed if it cannot."""
        if self.connection is None or self.session is None:
            return
        try:
            self.connection.sendall(self.session.take_output())
        except OSError as error:
            log.info("gdb: %s", error)
            self.close()


class Server:
    """Serves one gdb after the other."""

    def __init__(self, listener: Listener, line: Line, target: PastTarget, history: History) -> None:
        self._listener = listener
        self._line = line
        self._target = target
        self._history = history

    def serve(self, *, once: bool) -> None:
        """Until a gdb kills the machine; `once`: until the first one goes."""
        while True:
            select.select([self._listener], [], [])
            connection = self._listener.accept()
            if connection is None:
                continue
            session = Session(self._target)
            session.report(self._history.present.stop)
            self._line.open(connection, session)
            if self._talk(session) or once:
                return

    def _talk(self, session: Session) -> bool:
        """One gdb from its coming to its going; whether it has killed the machine."""
        killed = False
        while self._line.session is not None and self._line.listen():
            while (wish := session.step()) is not None:
                self._line.send()
                if isinstance(wish, Leave):
                    killed = wish.kill
                    self._line.close()
                    break
                session.report(self._target.resume(wish))
            self._line.send()
        self._line.close()
        return killed
