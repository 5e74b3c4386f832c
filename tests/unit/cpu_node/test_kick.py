"""When a CPU that records grants a stop that somebody outside asks for, at whatever moment the wish arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from machine.codec import encode
from machine.icount import FIRST_DEVICE
from machine.message import Access, AccessKind, Grant, Message, MmioAccess, Sync, SyncPoint
from tests.harness.guests import guest
from tests.harness.lonely_cpu import LonelyCpu, LonelyLink

if TYPE_CHECKING:
    from cpu_node.engine import Cpu


NOBODY: Final = 77
"""No device's number."""


class KickingLink(LonelyLink):
    """A broker whose Kick comes when an interrupt has just become pending; remembers (icount, pc) of each stop."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: Cpu | None = None
        self._shown = 0
        self.stops: list[tuple[int, int]] = []

    def look(self) -> bool:
        """A Kick has come just now, between the CPU's standing still and its running on."""
        assert self.cpu is not None
        shown = self.cpu.platform.state.shown  # type: ignore[attr-defined]
        self.kicked = self.kicked or shown > self._shown
        self._shown = shown
        return self.kicked

    def send(self, message: Message, target: int, icount: int) -> None:
        """A granted stop is written down."""
        if isinstance(message, Sync):
            self.stops.append((icount, where(self.cpu)))
        super().send(message, target, icount)


class FollowingLink(LonelyLink):
    """A broker that has the CPU stop where it did when it was recorded."""

    def __init__(self, recorded: list[tuple[int, int]]) -> None:
        super().__init__()
        self.cpu: Cpu | None = None
        self._next = iter(recorded)
        next(self._next)  # power-on is where every CPU stops by itself
        self.stops: list[tuple[int, int]] = []

    def send(self, message: Message, target: int, icount: int) -> None:
        """Grant up to the next recorded stop."""
        if not isinstance(message, Sync):
            super().send(message, target, icount)
            return
        self.stops.append((icount, where(self.cpu)))
        self._answer(0, icount, SyncPoint(message.timer_ns or 0))
        until, _ = next(self._next, (None, 0))
        self._answer(0, icount, Grant(until_icount=until))


class DoubtfulLink(FollowingLink):
    """A broker whose log may have lost a stop, at which this was gathered."""

    def __init__(self, until_icount: int, device: int, accesses: tuple[Access, ...]) -> None:
        super().__init__([(0, 0)])
        self._lost = Grant(until_icount=until_icount, gathered=encode(MmioAccess(accesses)), device=device)

    def send(self, message: Message, target: int, icount: int) -> None:
        """Everything is granted with that in mind."""
        super().send(message, target, icount)
        if isinstance(message, Sync):
            self._answers.pop()
            self._answer(0, icount, self._lost)


def where(cpu: Cpu | None) -> int:
    """The CPU's pc."""
    assert cpu is not None
    return cpu.platform.registers()[0]


def test_a_stop_asked_for_while_an_interrupt_is_taken_is_found_again_by_its_instruction_count() -> None:
    recorded = KickingLink()
    machine = LonelyCpu(guest("timer"), recorded)
    recorded.cpu = machine.cpu
    said = machine.run()
    followed = FollowingLink(recorded.stops)
    again = LonelyCpu(guest("timer"), followed)
    followed.cpu = again.cpu
    assert again.run() == said
    assert followed.stops == recorded.stops
    assert again.cpu.platform.registers() == machine.cpu.platform.registers()


@pytest.mark.parametrize("device", [FIRST_DEVICE, NOBODY])
def test_where_something_else_is_gathered_than_the_log_ends_with_the_cpu_does_not_stop(device: int) -> None:
    undisturbed = LonelyCpu(guest("compute"))
    said = undisturbed.run()
    doubtful = DoubtfulLink(1_000_000, device, (Access(AccessKind.WRITE, 0, 1, 1),))
    again = LonelyCpu(guest("compute"), doubtful)
    doubtful.cpu = again.cpu
    assert again.run() == said
    assert doubtful.stops == [(0, doubtful.stops[0][1])]
    assert again.cpu.native.icount == undisturbed.cpu.native.icount
