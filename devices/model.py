"""What every device model is: registers and state behind one narrow door to its surroundings.

Lives here: the protocols that models, backends and the shell (devices/node.py) meet in.
Never here: sockets, clocks, threads.

A model acts only when one of its methods is called; each call is one stamped message.  Everything it
wants done goes through the DeviceContext it is handed with the call; it keeps no reference to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from machine.board import Property
from machine.message import BackendResult, HostEvent, Register, RunMode


class DeviceContext(Protocol):
    """The door of a model for the length of one message.  What is asked for happens in the order asked."""

    @property
    def icount(self) -> int:
        """The guest's instructions so far, those before the message that is being handled: the same in every run."""

    def set_irq(self, level: bool) -> None:
        """Drive the interrupt line; a model says so when the level changes."""

    def set_registers(self, registers: Sequence[Register]) -> None:
        """Tell the CPU node how to treat registers from now on."""

    def push_fifo(self, data: bytes) -> None:
        """Append values to the queue that READ_KIND_FIFO loads are answered from."""

    def output(self, data: bytes) -> BackendResult:
        """Give bytes (or one packet) to the backend; what it took and its errno are a recorded input."""

    def read_clock(self) -> int:
        """The host's real-time clock, nanoseconds since the epoch; a recorded input."""

    def read_entropy(self, size: int) -> bytes:
        """1 to 4096 random bytes, the host's or the board's seed's; a recorded input."""

    def arm_timer(self, timer: int, delay_ns: int) -> None:
        """Have timer_expired(timer) called `delay_ns` of virtual time from now, at a sync point.

        With 0 it is a deferred callback: it comes at the next sync point.
        """

    def cancel_timer(self, timer: int) -> None:
        """Disarm a timer; one that is not armed is left alone."""

    def dma_read(self, address: int, size: int) -> bytes:
        """Guest memory; bytes outside of it read as zero."""

    def dma_write(self, address: int, data: bytes) -> None:
        """Store into guest memory before the access that caused it completes; outside of it nothing happens."""


class DeviceModel(Protocol):
    """The register-visible half of a device.  `state` is all it remembers, a declared vmstate."""

    state: Any

    def reset(self, context: DeviceContext) -> None:
        """Power-on: back to the initial state, register treatment announced."""

    def read(self, offset: int, size: int, context: DeviceContext) -> int:
        """A load the CPU node could not answer itself.  Any offset and size is answered."""

    def write(self, offset: int, size: int, value: int, context: DeviceContext) -> None:
        """A store.  Any offset, size and value is taken."""

    def popped(self, offset: int, count: int, context: DeviceContext) -> None:
        """The guest has taken `count` values from the queue through the register at `offset`."""

    def settle(self, context: DeviceContext) -> None:
        """Called once after the last access, input or expiry of a message: drive what has changed."""

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Something from the backend."""

    def timer_expired(self, timer: int, context: DeviceContext) -> None:
        """A timer armed with arm_timer() has run out."""

    def input_room(self) -> int:
        """How many bytes of host input the model can take now; the shell reads the backend no further."""


Options = Mapping[str, Property]
"""What a slot's [device.options] tell the model."""

Submit = Callable[[HostEvent, bytes, int], None]
"""submit(event, data, delay_ns): how a backend hands the outside's doing to the broker."""


class Run(Protocol):
    """What a backend may know of the run it takes part in; a model never knows which run it is."""

    @property
    def mode(self) -> RunMode:
        """Whether the machine is recorded (RECORD), only run (NONE), or replayed with its devices (REPLAY_LIVE)."""

    @property
    def icount(self) -> int:
        """The guest's instructions at the message the device handled last."""


class Estate(Protocol):
    """What a backend leaves to the backend of a successor; what is no more wanted must be taken out."""

    peeked: int
    """For a backend that looks before it takes: a number of its own."""
    stage: int
    """For a backend whose output has stages: a number of its own, less than 2^64."""

    @property
    def output(self) -> int:
        """The number of the output under way, the first being 1."""

    @property
    def last_input(self) -> int:
        """The number of the newest input, the first being 1; a successor finds what its predecessor came to."""

    @property
    def last_link(self) -> HostEvent | None:
        """The newest OPENED or CLOSED since the memory that recall() was given; None if there was none."""

    @property
    def untouched(self) -> bool:
        """Whether nothing has come from the host yet, from power-on on: a predecessor had only just begun."""

    def leave(self, name: str, *descriptors: int) -> None:
        """Have descriptors outlive this process, under a name."""

    def find(self, name: str) -> tuple[int, ...]:
        """Those that a predecessor has left, ours now; none if it has not, or they are on another host."""

    def take_out(self, name: str) -> None:
        """Close what was left under a name."""


class Backend(Protocol):
    """The host-facing half of a device; devices/backends/ holds one file for each.

    A backend that also waits for the host lists what it waits for; the shell polls those descriptors
    and calls `ready`.  It may submit at any time from the shell's thread.
    """

    @property
    def relives(self) -> bool:
        """Whether it is told its past again, output by output, when another process stands in for one that has died.

        It then does nothing to the host that may not be done twice, and says the same again.
        """

    @property
    def replugs(self) -> bool:
        """Whether everything is pulled out and plugged in again behind a killed broker.

        What had been brought, and nobody has had, is then said for something that is not there any more: it is dropped.
        """

    @property
    def pace_ns(self) -> int:
        """Virtual time between one input and the next of those that are said again behind a killed broker.

        The other side has had the answers to them, which the guest gives anew: it must have come to that before.
        """

    @property
    def unrecordable(self) -> str:
        """Why what it brings cannot be recorded, "" when it can; such a backend is refused by name in a recording."""

    def attach(self, run: Run) -> None:
        """Called once, before open()."""

    def open(self, submit: Submit) -> None:
        """Take hold of the host's resources; BackendError names what cannot be had."""

    def keep(self, estate: Estate) -> None:
        """Called before anything else where a successor may come: what is left in the estate is found there by it."""

    def memory(self) -> bytes:
        """What a successor must know of this moment; recall() is given it."""

    def recall(self, memory: bytes, submit: Submit) -> None:
        """Called in place of open() in a process that stands in for another; b"" is the moment before open().

        What follows from the past alone is put as it was then.  Nothing else is touched: the past has yet to be told.
        """

    def resume(self, submit: Submit, *, owes: bool) -> bool:
        """The past is over: go on where the predecessor has left off, and say nothing of it; BackendError as open().

        `owes`: less was taken than was given, and WRITABLE has not been delivered.  False, if what it held is lost:
        open() is called, and the guest sees the other side go and another come.
        """

    def close(self) -> None:
        """Give everything back: terminal modes, socket files, children.  Safe to call twice and without open()."""

    def parting(self) -> Sequence[bytes]:
        """The data of each CLOSED that tells a device that its past other side, whoever it was, is not there now."""

    def take_word(self, word: str) -> bool:
        """Become, while open, what another word of the same kind asks for; False: another backend must be made.

        BackendError if that is impossible; everything is as it was then.
        """

    def descriptors(self, room: int) -> Sequence[tuple[int, bool, bool]]:
        """(descriptor, wants to read, wants to write) to wait for, while the device takes `room` more bytes."""

    def ready(self, descriptor: int, readable: bool, writable: bool, room: int) -> None:
        """A descriptor has become ready; submits at most `room` bytes of data."""

    def advance(self, room: int) -> None:
        """The device has handled a message and its Done has not been sent: submit what only waited for that.

        Never called while a recording is replayed: what comes in comes from the log.
        """

    def passed(self, data: bytes, icount: int, *, inbound: bool) -> None:
        """Data has gone to the device (`inbound`) or has been handed over by it; called in every mode, for captures."""

    def waiting(self) -> str:
        """What the machine must wait for before it starts, and what to do, `a client on PLACE; ...`; "" for nothing."""

    def write_again(self, data: bytes) -> BackendResult:
        """As write(), for bytes that a predecessor was giving to the host when it died."""

    def write(self, data: bytes) -> BackendResult:
        """Take as much of the bytes as the host takes without waiting.

        Less than all without an error is a promise to submit HostEvent.WRITABLE later.
        """

    def wants_quit(self) -> bool:
        """Whether the user has asked, through this backend, to end the run."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One row of the device table."""

    kind: str
    summary: str
    create: Callable[[Options], DeviceModel]
    """The model after construction; BoardError names an option that is unknown or wrong.  {} always works."""
    backend_kind: str
    """Which table of devices/backends/ the slot's backend is looked up in; `none` for no backend."""
    unrecordable: str = ""
    """Why a machine with this device cannot be recorded; "" when it can."""
