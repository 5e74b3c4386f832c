"""gdb in front of a machine that runs: inside the CPU's process, since only that can stand at an instruction.

Theory of operation.  The engine looks at one descriptor now and then, an epoll that holds the broker's, the listening
socket's and gdb's.  While nobody is there the machine runs; as soon as gdb comes the CPU stands at its next sync
point, or in its sleep.  A gdb that goes, in whatever way, leaves the machine running without any of its points.
"""

from __future__ import annotations

import logging
import select
from typing import TYPE_CHECKING, Final

from cpu_node.debugger import Debugger, Order, Why
from cpu_node.gdbstub.session import Leave, Session
from cpu_node.gdbstub.target import Answer, Resume
from machine.errors import RemoteWireError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.debugger import Standing, Stop, Watch
    from cpu_node.engine import Cpu
    from cpu_node.gdbstub.listener import Listener
    from cpu_node.link import Link
    from machine.clock import VirtualClock

log = logging.getLogger("dejavm")
READ_BYTES: Final = 1 << 16
NO_WRITING: Final = (
    "this run is recorded or replayed: a write of the debugger's is in no recording, and it would not replay"
)


class LiveTarget:
    """The CPU where it stands.  See cpu_node/gdbstub/target.py, Target."""

    can_reverse = False

    def __init__(self, standing: Standing, clock: VirtualClock, *, may_write: bool) -> None:
        self._standing = standing
        self._clock = clock
        self.why_read_only = "" if may_write else NO_WRITING
        self.registers = standing.registers
        self.raw_registers = standing.raw_registers
        self.read_physical = standing.read_physical
        self.write_physical = standing.write_physical
        self.put_register = standing.put_register

    @property
    def arch(self) -> ArchSpec:
        """Of the CPU."""
        return self._standing.arch

    def set_points(self, breaks: Sequence[int], watches: Sequence[Watch]) -> None:
        """See Target."""
        self._standing.set_points(breaks, watches)

    def command(self, words: Sequence[str], stop: Stop) -> Answer | None:
        """See Target."""
        if list(words) not in (["when"], ["info", "replay"]):
            return None
        return Answer(f"icount {stop.icount}, virtual time {self._clock.at(stop.icount)} ns\n")

    def help(self) -> Mapping[str, str]:
        """See Target."""
        return {"when": "how many instructions have run, and the virtual time"}


class LiveStub(Debugger):
    """The loop's debugger and the link's visitor."""

    def __init__(
        self, target: LiveTarget, standing: Standing, cpu: Cpu, link: Link, listener: Listener, *, halted: bool
    ) -> None:
        super().__init__(standing, cpu)
        self._target = target
        self._link = link
        self._listener = listener
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)
        self._connection: socket.socket | None = None
        self._session: Session | None = None
        self._halted = self.interrupted = halted
        """Nobody has come yet, and the machine waits for him."""
        self._orders: list[Order] = []
        """How gdb wants the machine to go on: at most one."""
        self.kill: Callable[[], None] = lambda: None
        """Have the machine ended."""

    def join(self, port_fd: int) -> int:
        """Watch the broker's descriptor too; the one that speaks for all."""
        self._epoll.register(port_fd, select.EPOLLIN)
        return self._epoll.fileno()

    def close(self) -> None:
        """The machine is at its end."""
        if self._session is not None:
            self._session.gone(0)
            self._flush()
        self._drop()
        self._listener.close()

    def attend(self) -> None:
        """See Debugger."""
        self._poll(0)

    def wait(self, *, standing: bool) -> None:
        """See Visitor."""
        self._poll(None)
        if standing and self.interrupted:
            self.hold(Why.INTERRUPT)

    def stand(self, stop: Stop) -> Order:
        """See Debugger."""
        self._orders.clear()
        if self._session is not None:
            self._session.report(stop)
            self._deal()
        while not self._orders and (self._session is not None or self._halted):
            self._link.look()
            had = self._session
            self._poll(None)
            if self._session is not None:
                if self._session is not had:
                    self._session.report(stop)
                self._deal()
        if self._orders and self._session is not None:
            # An interrupt may have come with the packet that lets the machine go.
            self.interrupted = self._session.wants_stop()
            return self._orders.pop()
        self.interrupted = False
        self.standing.set_points((), ())
        return Order()

    def _poll(self, timeout_s: float | None) -> None:
        """Wait for anybody; take in what has been said."""
        for fd, _ in self._epoll.poll(timeout_s):
            if fd == self._listener.fileno():
                self._accept()
            elif self._connection is not None and fd == self._connection.fileno():
                self._receive(self._connection)

    def _accept(self) -> None:
        connection = self._listener.accept()
        if connection is None:
            return
        if self._connection is not None:
            connection.close()
            return
        self._connection = connection
        self._epoll.register(connection, select.EPOLLIN)
        self._session = Session(self._target)
        self._halted = False
        self.interrupted = True

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(READ_BYTES)
            if data and self._session is not None:
                self._session.receive(data)
                if self._session.wants_stop():
                    self.interrupted = True
        except (OSError, RemoteWireError) as error:
            log.info("gdb: %s", error)
            data = b""
        if not data:
            self._drop()

    def _deal(self) -> None:
        """Deal with what gdb has said; the machine stands."""
        while self._session is not None and not self._orders and (wish := self._session.step()):
            match wish:
                case Resume(step):
                    self._orders.append(Order(step=step))
                case Leave(kill):
                    self._flush()
                    self._drop()
                    if kill:
                        self.kill()
        self._flush()

    def _flush(self) -> None:
        if self._session is None or self._connection is None:
            return
        try:
            self._connection.sendall(self._session.take_output())
        except OSError as error:
            log.info("gdb: %s", error)
            self._drop()

    def _drop(self) -> None:
        """gdb is gone; the machine runs on without its points, which can only be taken away where it stands."""
        if self._connection is not None:
            self._epoll.unregister(self._connection)
            self._connection.close()
            self._connection = None
            self._session = None
            self.interrupted = True
