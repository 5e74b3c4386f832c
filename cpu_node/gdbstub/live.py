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
from cpu_node.gdbstub.target import Answer, NotYetError, Resume
from machine.errors import RemoteWireError
from machine.icount import BROKER
from machine.message import Paused, Rouse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from cpu_node.arch.spec import ArchSpec
    from cpu_node.debugger import Standing, Stop, Watch
    from cpu_node.engine import Cpu
    from cpu_node.gdbstub.listener import Listener
    from cpu_node.link import Link
    from cpu_node.loop import Loop
    from machine.clock import VirtualClock

log = logging.getLogger("dejavm")
READ_BYTES: Final = 1 << 16
NO_WRITING: Final = "this is a replay: what is changed is in no recording; branch first"
NOT_BEGUN: Final = "the machine's power-on has not been dealt with; let it go on first"


class LiveTarget:
    """The CPU where it stands.  See cpu_node/gdbstub/target.py, Target."""

    can_reverse = False

    def __init__(self, standing: Standing, clock: VirtualClock, loop: Loop, link: Link, *, may_write: bool) -> None:
        self._standing = standing
        self._clock = clock
        self._loop = loop
        self._link = link
        self._may_write = may_write
        self.registers = standing.registers
        self.raw_registers = standing.raw_registers
        self.read_physical = standing.read_physical

    @property
    def arch(self) -> ArchSpec:
        """Of the CPU."""
        return self._standing.arch

    @property
    def why_read_only(self) -> str:
        """See Target."""
        if not self._may_write:
            return NO_WRITING
        return "" if self._loop.begun else NOT_BEGUN

    def write_physical(self, address: int, data: bytes) -> None:
        """See Target."""
        self._wake()
        self._loop.changes.make(address=address, data=data)

    def put_register(self, name: str, value: int) -> bool:
        """See Target."""
        self._wake()
        return self._loop.changes.make(name, value)

    def _wake(self) -> None:
        """What is changed in the guest's sleep is changed behind its end."""
        if self._link.asleep:
            raise NotYetError

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
        self._rousing = False
        """The guest's sleep is about to end, so that gdb may change something."""
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
        may_hold = standing and not self._rousing
        if not (may_hold and self.interrupted):  # else gdb's interrupt has come with its last packet
            self._poll(None)
        if may_hold and self.interrupted:
            self.hold(Why.INTERRUPT)

    def between(self, *, begun: bool) -> None:
        """See Debugger.  Power-on comes before anybody looks, so that what he changes comes behind it."""
        if begun:
            super().between(begun=begun)

    def stand(self, stop: Stop) -> Order:
        """See Debugger."""
        self._orders.clear()
        self._rousing = False
        self._tell(on=True)
        try:
            return self._stand(stop)
        finally:
            self._tell(on=False)

    def _tell(self, *, on: bool) -> None:
        """The broker's other clients are to know who holds the machine."""
        self._link.send(Paused(held=on), BROKER, self._native.icount)

    def _stand(self, stop: Stop) -> Order:
        if self._session is not None:
            self._session.report(stop)
            self._deal()
        while not self._orders and not self._rousing and (self._session is not None or self._halted):
            self._link.look()
            if self._link.let_go:
                # The run ends, or its guest is to switch itself off.
                self._halted = False
                self._drop()
                break
            had = self._session
            self._poll(None)
            if self._session is not None:
                if self._session is not had:
                    self._session.report(stop)
                self._deal()
        if self._rousing:
            self.interrupted = True
            return Order()
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
        """Deal with what gdb has said; the machine stands, or is about to wake."""
        while self._session is not None and not self._orders and (wish := self._session.step()):
            match wish:
                case Resume(step):
                    self._orders.append(Order(step=step))
                case Leave(kill):
                    self._flush()
                    self._drop()
                    if kill:
                        self.kill()
        if self._session is not None and self._session.waits and not self._rousing:
            self._rousing = True
            self._link.send(Rouse(), BROKER, self._native.icount)
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
