"""The shell around one device: broker on one side, backend on the other; the only loop.

Lives here: the order in which a message's effects, its answer and the host's events go out.
Never here: what a register or a byte means.
"""

from __future__ import annotations

import logging
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from devices.backends import create_backend
from devices.backends.place import may_be_kept, run_directory
from devices.context import ShellContext
from devices.continued_gate import ContinuedGate, Past
from devices.estate import BackendEstate
from devices.gate import Gate, LiveGate
from devices.journal import Journal
from devices.link import Link
from devices.memory import GuestMemory, JournalledMemory, Memory
from devices.past_gate import PastGate
from devices.registry import find_device
from devices.remote_memory import RemoteMemory
from devices.replay_gate import ReplayGate
from machine.codec import decode, name_of
from machine.errors import BackendError, BoardError, MachineError, RemoteWireError
from machine.icount import BROKER, CPU
from machine.message import (
    Access,
    AccessKind,
    BackendChanged,
    ChangeBackend,
    Digest,
    DigestScope,
    Done,
    HostInput,
    Load,
    MemoryMoved,
    Message,
    MmioAccess,
    Present,
    Reset,
    RunMode,
    Save,
    Saved,
    Shutdown,
    StateRequest,
    TimerExpired,
    Welcome,
)
from machine.meter import ONE
from machine.node import NodeArguments, ShutDown, announce_ready, introduce
from machine.vmstate import decode as decode_state
from machine.vmstate import digest, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.model import Backend, DeviceModel
    from machine.frame import Frame
    from machine.port import Port

log = logging.getLogger("dejavm")
READABLE: Final = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL
WRITABLE: Final = select.POLLOUT | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""A descriptor in trouble is ready for whatever tells the backend so."""


def run_device(arguments: NodeArguments, port: Port) -> None:
    """A device's life, until Shutdown.  BoardError, BackendError when it cannot begin."""
    welcome = introduce(port, arguments)
    slot = arguments.board.device(arguments.name)
    spec = find_device(slot)

    link = Link(port)
    run = _Run(welcome.mode, link)
    if welcome.mode is RunMode.RECORD and spec.unrecordable:
        raise BoardError(_cannot_be_recorded(slot.name, spec.kind, spec.unrecordable))

    def make(word: str) -> Backend:
        backend = create_backend(spec.backend_kind, word, slot.name)
        if welcome.mode is RunMode.RECORD and backend.unrecordable:
            raise BackendError(_cannot_be_recorded(slot.name, word, backend.unrecordable))
        backend.attach(run)
        return backend

    arguments.diagnostics.icount = lambda: link.icount
    surroundings = Surroundings(welcome, arguments, link, make)
    try:
        gate = surroundings.gate
        arguments.meter.counter(
            "backend_bytes", "bytes the backend took and brought", ("direction",),
            lambda: {("out",): gate.bytes_out, ("in",): gate.bytes_in},
        )  # fmt: skip
        arguments.meter.counter(
            "backend_refused", "inputs of a backend that only listens to a replay", (), lambda: {ONE: gate.refused}
        )
        gate.open()
        try:
            Shell(surroundings, spec.create(dict(slot.options))).run(port)
        finally:
            gate.close()
    finally:
        surroundings.close()


class Surroundings:
    """What is around a model: the way to the broker, guest memory, the backend behind its gate, the journal."""

    def __init__(self, welcome: Welcome, arguments: NodeArguments, link: Link, make: Callable[[str], Backend]) -> None:
        name, size = arguments.name, arguments.board.memory
        word = welcome.backend or arguments.board.device(name).backend
        self.link = link
        self.journal: Journal | None = None
        self.make = make
        self.memory: Memory = GuestMemory(welcome.memory_path, size)
        if arguments.options.remote_memory:
            self.memory = RemoteMemory(link, size)
        self.past: PastGate | None = None
        self._estate: BackendEstate | None = None
        past = _past(welcome, arguments, link) if welcome.continued else None
        if welcome.mode is RunMode.RECORD and may_be_kept():
            path = run_directory() / f"journal-{name}"
            if past is None:
                self.journal = Journal.left(path) if welcome.rebuild else Journal(path, new=True)
            else:
                self.journal = past.journal(path, make(word))
            self.memory = JournalledMemory(self.memory, self.journal, link, name)
            self._estate = estate = BackendEstate(self.journal, name)
            self.make = lambda word: _heir(make(word), estate.another())
        elif welcome.rebuild or past is not None:
            raise MachineError("nothing was kept of the process that has died: there is no directory for it")
        self._backend = self.make(word)
        self.gate: Gate
        if welcome.mode is RunMode.REPLAY_LIVE:
            self.gate = ReplayGate(link, self._backend)
        elif welcome.rebuild and self.journal is not None:
            self.gate = self.past = PastGate(link, self._backend, self.journal, self.make)
        elif past is not None and self.journal is not None:
            self.gate = ContinuedGate(link, self._backend, self.journal, past)
        else:
            self.gate = LiveGate(link, self._backend, self.journal)

    def close(self) -> None:
        """Let go of everything."""
        self._backend.close()
        self.memory.close()
        if self._estate is not None:
            self._estate.close()
        if self.journal is not None:
            self.journal.close()


def _past(welcome: Welcome, arguments: NodeArguments, link: Link) -> Past:
    """What a backend is to remember, of a recording that another broker has begun."""
    if arguments.distant:
        return Past.fetch(welcome, link, run_directory() / f"past-{arguments.name}")
    return Past.read(welcome)


def _heir(backend: Backend, estate: BackendEstate) -> Backend:
    backend.keep(estate)
    return backend


@dataclass(frozen=True, slots=True)
class _Run:
    """devices/model.py, Run."""

    mode: RunMode
    _link: Link

    @property
    def icount(self) -> int:
        """Of the message handled last."""
        return self._link.icount


def _cannot_be_recorded(name: str, what: str, why: str) -> str:
    return f"{name}: {what} cannot be recorded: {why}; run the machine without recording it, or take something else"


class Shell:
    """Port, model and backend of one device, used by one thread."""

    def __init__(self, surroundings: Surroundings, model: DeviceModel) -> None:
        self._link = surroundings.link
        self._model = model
        self._gate = surroundings.gate
        self._past = surroundings.past
        self._memory = surroundings.memory
        self._make = surroundings.make
        self._journal = surroundings.journal
        self._link.interrupt = self._interrupt
        self._context = ShellContext(self._link, self._gate, self._memory)
        self._poller = select.poll()
        self._polled: list[tuple[int, bool, bool]] = []
        self._awaited = ""
        """For whom the machine waits, as the user has been told."""
        self._blank = encode(model.state)
        """What it remembers before its power-on."""

    def run(self, port: Port) -> None:
        """Say Ready once the backend's other side is there, then serve; ends with ShutDown."""
        self._poller.register(self._link.wake_fd, select.POLLIN)
        ready = self._past is not None
        if ready and self._journal is not None:
            announce_ready(port, type(self._model.state), from_seq=self._recall(self._journal))
        while True:
            # The port's descriptor tells of changes only: all that has come must be taken before waiting.  A state to
            # start in has come with the welcome.
            while (frame := self._link.next()) is not None:
                self.handle(frame)
            ready = ready or self._begin(port)
            self._gate.served()
            if not self._link.pending():
                self._wait()

    def _begin(self, port: Port) -> bool:
        """Say Ready, unless the backend waits for somebody: that is said to the user instead, once."""
        awaited = self._gate.backend.waiting()
        if not awaited:
            announce_ready(port, type(self._model.state))
        elif awaited != self._awaited:
            log.warning("waits for %s", awaited)
        self._awaited = awaited
        return not awaited

    def handle(self, frame: Frame) -> None:
        """One message: the model acts, every effect goes out, the answer last.  RemoteWireError if it is no message."""
        message = decode(frame.type, frame.payload)
        if self._control(message):
            return
        self._memory.begin()
        if self._journal is not None and frame.seq and self._journal.due(len(frame.payload)):
            # That there is another message says that the answer to the last one has come.
            self._gate.keep(frame.seq, encode(self._model.state))
        if frame.icount != self._link.icount:
            # The guest has gone on, so the CPU node has applied everything.  Several inputs at one sync point may
            # come before it has applied what the first of them caused.
            self._memory.settled()
            self._link.icount = frame.icount
        match message:
            case MmioAccess(accesses):
                self._finish(self._access(accesses), CPU)
            case TimerExpired(timer):
                self._model.timer_expired(timer, self._context)
                self._finish(0, CPU)
            case HostInput(event, data):
                if not message.by_monitor:
                    self._gate.delivered(message)
                self._model.host_input(event, data, self._context)
                self._finish(0, BROKER)
            case Reset():
                self._model.reset(self._context)
                self._finish(0, BROKER)
            case StateRequest():
                self._link.say(Digest(DigestScope.ALL, digest(self._model.state)), BROKER)
                self._link.flush()
            case Shutdown():
                raise ShutDown
            case _:
                raise RemoteWireError(f"{name_of(frame.type)} is not a message for a device")

    def _control(self, message: Message) -> bool:
        """What is no part of the run; False if the message is none of that."""
        match message:
            case ChangeBackend(word=word):
                self._change(word)
            case Save():
                self._link.say(Saved(encode(self._model.state)), BROKER)
                self._link.flush()
            case Load(state):
                self._model.state = decode_state(type(self._model.state), state or self._blank)
                self._memory.settled()
                self._gate.loaded()
                # A successor begins here, and not at power-on.
                self._gate.keep(1, encode(self._model.state))
                if state:
                    self._gate.handled(self._room())
                self._link.flush()
            case Present() | MemoryMoved():
                self._interrupt(message)
            case _:
                return False
        return True

    def _recall(self, journal: Journal) -> int:
        """Put the model as it was kept; the first message it must be told."""
        kept = journal.kept()
        if kept.state:
            self._model.state = decode_state(type(self._model.state), kept.state)
        return max(1, kept.seq)

    def _interrupt(self, message: Present | MemoryMoved) -> None:
        """What is no part of the run and must be heard at once."""
        if isinstance(message, MemoryMoved):
            self._memory.moved(message.memory_path)
        elif self._past is not None:
            self._past.present(message)

    def _access(self, accesses: tuple[Access, ...]) -> int:
        """The guest's accesses in their order; the value of the read that may end them."""
        value = 0
        for i, access in enumerate(accesses):
            match access.kind:
                case AccessKind.WRITE if access.data:
                    for byte in access.data:
                        self._model.write(access.offset, 1, byte, self._context)
                case AccessKind.WRITE:
                    self._model.write(access.offset, access.size, access.value, self._context)
                case AccessKind.POP:
                    self._model.popped(access.offset, access.value, self._context)
                case AccessKind.READ:
                    if i != len(accesses) - 1:
                        raise RemoteWireError(f"access {i + 1} of {len(accesses)} is a read; only the last may be")
                    value = self._model.read(access.offset, access.size, self._context)
        return value & (1 << 64) - 1

    def _finish(self, value: int, target: int) -> None:
        self._model.settle(self._context)
        self._gate.handled(self._room())
        self._link.say(Done(value), target)
        self._link.flush()

    def _change(self, word: str) -> None:
        """Control, not a part of the run: what the guest sees of it comes as an input."""
        try:
            changed = BackendChanged(stays=self._gate.change(word, self._make))
        except BackendError as reason:
            changed = BackendChanged(str(reason))
        self._link.say(changed, BROKER)
        self._link.flush()

    def _room(self) -> int:
        return self._gate.room(self._model.input_room())

    def _wait(self) -> None:
        """Wait for the broker or the host, and let the backend serve the host."""
        room = self._room()
        self._watch(list(self._gate.descriptors(room)))
        for descriptor, events in self._poller.poll():
            if descriptor != self._link.wake_fd:
                self._gate.backend.ready(descriptor, bool(events & READABLE), bool(events & WRITABLE), self._room())
        self._gate.served()

    def _watch(self, wanted: list[tuple[int, bool, bool]]) -> None:
        """Make the poller watch the backend's descriptors; they seldom change."""
        if wanted == self._polled:
            return
        for descriptor, _, _ in self._polled:
            self._poller.unregister(descriptor)
        for descriptor, reads, writes in wanted:
            self._poller.register(descriptor, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
        self._polled = wanted
