"""When a CPU that records grants a stop that somebody outside asks for, at whatever moment the wish arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.message import Grant, Message, Sync, SyncPoint
from tests.harness.guests import guest
from tests.harness.lonely_cpu import LonelyCpu, LonelyLink

if TYPE_CHECKING:
    from cpu_node.engine import Cpu

MOST_STOPS = 60


class KickingLink(LonelyLink):
    """A broker whose Kick is seen at the `patience`th look after the last stop; remembers (icount, pc) of each."""

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.cpu: Cpu | None = None
        self._patience = patience
        self._looks = 0
        self.stops: list[tuple[int, int]] = []

    def look(self) -> bool:
        """A Kick has come just now, if the last one was granted long enough ago."""
        self._looks += 1
        self.kicked = self.kicked or (self._looks >= self._patience and len(self.stops) < MOST_STOPS)
        return self.kicked

    def send(self, message: Message, target: int, icount: int) -> None:
        """A granted stop is written down."""
        if isinstance(message, Sync):
            self._looks = 0
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


def where(cpu: Cpu | None) -> int:
    """The CPU's pc."""
    assert cpu is not None
    return cpu.platform.registers()[0]


@pytest.mark.parametrize("patience", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["traps", "timer"])
def test_a_stop_granted_at_any_moment_is_found_again_by_its_instruction_count(name: str, patience: int) -> None:
    recorded = KickingLink(patience)
    machine = LonelyCpu(guest(name), recorded)
    recorded.cpu = machine.cpu
    said = machine.run()
    followed = FollowingLink(recorded.stops)
    again = LonelyCpu(guest(name), followed)
    followed.cpu = again.cpu
    assert again.run() == said
    assert followed.stops == recorded.stops
    assert len(recorded.stops) > 2
    assert again.cpu.platform.registers() == machine.cpu.platform.registers()
