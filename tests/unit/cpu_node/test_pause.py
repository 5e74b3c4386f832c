"""A CPU that is told to stand still: it does, it says so, and what it does afterwards is the same."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import pytest

from cpu_node.link import Link
from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.message import Done, Grant, Kick, Message, Pause, Paused, Shutdown, SyncPoint
from machine.node import ShutDown
from tests.harness.guests import guest
from tests.harness.lonely_cpu import LonelyCpu, LonelyLink

if TYPE_CHECKING:
    from machine.port import Port


class ScriptedPort:
    """A port on which certain messages come, and which remembers what is said."""

    def __init__(self, *messages: Message) -> None:
        self.coming = deque(Frame(type_of(type(m)), BROKER, CPU, 7, encode(m)) for m in messages)
        self.said: list[tuple[Message, int]] = []

    def pending(self) -> bool:
        """Whether something is there."""
        return bool(self.coming)

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next message."""
        return self.coming.popleft() if self.coming else None

    def send(self, message: Message, target: int, icount: int) -> None:
        """Remember."""
        self.said.append((message, icount))


def linked(*messages: Message) -> tuple[Link, ScriptedPort]:
    """A link to a broker that says these things."""
    port = ScriptedPort(*messages)
    as_port: Port = port  # type: ignore[assignment]  # it has all that a link uses
    return Link(as_port), port


def test_it_says_that_it_stands_and_takes_in_what_comes_until_it_may_go_on() -> None:
    link, port = linked(Pause(on=True), Grant(until_icount=9), Kick(), Pause(on=False), Done(3))
    link.look()
    assert link.paused is False  # all of it had come: it has been let go already
    link, port = linked(Pause(on=True))
    assert not link.look()
    assert link.paused
    port.coming.extend(linked(SyncPoint(4), Kick(), Pause(on=False), Done(3))[1].coming)
    link.rest(7, 9)
    assert port.said == [(Paused(virtual_ns=9), 7)]
    assert (link.paused, link.kicked) == (False, True)
    assert [link.next(7)[1], link.next(7)[1]] == [SyncPoint(4), Done(3)]


def test_a_machine_that_ends_while_it_stands_still_ends() -> None:
    link, _ = linked(Pause(on=True))
    link.look()
    link._port.coming.extend(linked(Shutdown())[1].coming)  # type: ignore[attr-defined]  # a ScriptedPort
    with pytest.raises(ShutDown):
        link.rest(7, 9)


class NervousLink(LonelyLink):
    """A broker that has the CPU stand still whenever it looks for a wish, and lets it go on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[int] = []

    def look(self) -> bool:
        """Somebody wants it to stand still."""
        self.paused = not self.rests or self.rests[-1] != self.at
        return False

    def rest(self, icount: int, now_ns: int) -> None:
        """It does."""
        self.rests.append(icount)
        self.paused = False

    @property
    def at(self) -> int:
        """Where the CPU is."""
        assert self.cpu is not None
        return self.cpu.cpu.native.icount

    cpu: LonelyCpu | None = None


@pytest.mark.parametrize("name", ["timer", "traps", "counters"])
def test_a_cpu_that_stands_still_again_and_again_does_what_it_always_does(name: str) -> None:
    plain = LonelyCpu(guest(name))
    expected = plain.run()
    link = NervousLink()
    nervous = LonelyCpu(guest(name), link)
    link.cpu = nervous
    assert nervous.run() == expected
    assert len(link.rests) > 3
    assert nervous.cpu.platform.registers() == plain.cpu.platform.registers()
    assert nervous.cpu.native.icount == plain.cpu.native.icount
