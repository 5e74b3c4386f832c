"""A device that looks into the memory of a CPU which has died waits until it is told of another's."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, cast

import pytest

from devices.journal import Journal
from devices.link import Link
from devices.memory import GuestMemory, JournalledMemory, MemoryGone
from machine.board import RAM_BASE
from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import BROKER, FIRST_DEVICE
from machine.message import MemoryMoved, Present, Shutdown, TimerExpired
from machine.node import ShutDown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from machine.message import Message
    from machine.port import Port

SIZE = 8192
GONE = "/proc/self/fd/1000000"
"""Where the memory of a process was that has died: there is no such descriptor."""


class Told:
    """A port on which all that will come has come."""

    number = FIRST_DEVICE

    def __init__(self, *messages: Message) -> None:
        self._frames = deque(
            Frame(type_of(type(each)), BROKER, FIRST_DEVICE, 7, encode(each), seq) for seq, each in enumerate(messages)
        )

    def receive(self, _timeout_s: float | None = None) -> Frame | None:
        """The next."""
        return self._frames.popleft() if self._frames else None


@pytest.fixture
def ram() -> Iterator[str]:
    descriptor = os.memfd_create("ram")
    os.ftruncate(descriptor, SIZE)
    os.pwrite(descriptor, b"here", 100)
    yield f"/proc/self/fd/{descriptor}"
    os.close(descriptor)


def journalled(tmp_path: Path, *messages: Message) -> tuple[JournalledMemory, Link, Journal]:
    """Memory that was a dead process's, and what its device will be told."""
    link = Link(cast("Port", Told(*messages)))
    memory = GuestMemory(GONE, SIZE)
    journal = Journal(tmp_path / "journal", new=True)

    def interrupt(message: Present | MemoryMoved) -> None:
        assert isinstance(message, MemoryMoved)
        memory.moved(message.memory_path)

    link.interrupt = interrupt
    return JournalledMemory(memory, journal, link, "nic0"), link, journal


def test_memory_of_a_process_that_has_died_before_it_was_mapped_is_gone() -> None:
    with pytest.raises(MemoryGone, match="guest memory is not there any more"):
        GuestMemory(GONE, SIZE).read(RAM_BASE, 4)


def test_a_read_waits_for_the_next_cpu_s_memory_and_what_comes_before_waits(tmp_path: Path, ram: str) -> None:
    memory, link, journal = journalled(tmp_path, TimerExpired(3), MemoryMoved(GONE), MemoryMoved(ram))
    # The first that stood in has died, too.
    assert memory.read(RAM_BASE + 100, 4) == b"here"
    held = link.next()
    assert held is not None
    assert held.type == type_of(TimerExpired)
    assert link.next() is None
    # A successor of the device reads what this one has.
    assert Journal(tmp_path / "journal", new=False).read_again(RAM_BASE + 100, 4, "nic0", 7) == b"here"
    memory.close()
    journal.close()


def test_who_waits_for_memory_leaves_when_the_machine_ends(tmp_path: Path) -> None:
    memory, _, journal = journalled(tmp_path, Shutdown())
    with pytest.raises(ShutDown):
        memory.read(RAM_BASE, 4)
    journal.close()
