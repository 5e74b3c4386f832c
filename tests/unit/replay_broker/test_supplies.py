"""What a node on another host needs to be put into a state comes in front of Load, so many parts at a time."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from machine.errors import RemoteWireError
from machine.icount import CPU, FIRST_DEVICE
from machine.message import Load, Message, SavedPages
from machine.message_state import MOST_UNTAKEN
from machine.parts import PART_BYTES, unpack_part
from machine.recording.snapshots.snapshot import PAGE_BYTES
from machine.recording.snapshots.writer import SnapshotWriter
from replay_broker.roster import Member
from replay_broker.supplies import Supplies
from tests.unit.machine.recordings import FACTS, FRAMES, write
from tests.unit.machine.snapshots.scenes import snapshot

if TYPE_CHECKING:
    from pathlib import Path

PARTS = 2 * MOST_UNTAKEN + 3


def supplies() -> tuple[Supplies, list[Message]]:
    """Those of host `a`, and what they say."""
    said: list[Message] = []
    return Supplies("a", lambda _, message: said.append(message)), said


def member(number: int, host: str) -> Member:
    """A node that has come from a host."""
    return Member("cpu" if number == CPU else "serial0", number, b"id", host=host)


def test_a_node_of_the_same_host_reads_the_recording_itself() -> None:
    ours, said = supplies()
    load = Load(b"state", "/there", 3)
    for host in ("a", ""):
        ours.load(member(CPU, host), load, ("/there", 9))
    assert said == [load, load]


def test_a_cpu_elsewhere_is_told_its_memory_eight_parts_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm", FRAMES)
    pages = PARTS * PART_BYTES // PAGE_BYTES
    noise = random.Random(1)
    memory = {page: memoryview(noise.randbytes(PAGE_BYTES)) for page in range(0, pages, 7)}
    state = replace(snapshot(1, memory_pages=pages), recording=FACTS.id)
    SnapshotWriter(path, FACTS.id).add(state, iter(memory.items()), None)
    ours, said = supplies()
    cpu = member(CPU, "b")
    ours.load(cpu, Load(b"state", str(path), 1), ("", 0))
    assert len(said) == MOST_UNTAKEN
    taken = 0
    there = bytearray(pages * PAGE_BYTES)
    while taken < len(said) and isinstance(part := said[taken], SavedPages):
        data = unpack_part(part, len(there))
        there[part.offset : part.offset + len(data)] = data
        taken += 1
        ours.taken(cpu)
        assert len(said) - taken <= MOST_UNTAKEN
    assert taken == PARTS
    assert said[taken:] == [Load(b"state", "", 1)]
    assert all(there[page * PAGE_BYTES :][:PAGE_BYTES] == data for page, data in memory.items())


def test_a_device_elsewhere_is_told_its_own_messages(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm", FRAMES)
    ours, said = supplies()
    device = member(FIRST_DEVICE, "c")
    ours.load(device, Load(b"state"), (str(path), FRAMES[-1].seq))
    assert [type(message) for message in said] == [SavedPages, Load]
    ours.taken(device)
    assert any(frame.target == FIRST_DEVICE for frame in FRAMES)


def test_at_power_on_there_is_nothing_to_be_told() -> None:
    ours, said = supplies()
    ours.load(member(FIRST_DEVICE, "c"), Load(), ("/nowhere", 0))
    ours.load(member(CPU, "c"), Load(), ("/nowhere", 0))
    assert said == [Load(), Load()]


def test_who_has_taken_what_it_was_not_given_is_found_out() -> None:
    ours, _ = supplies()
    with pytest.raises(RemoteWireError, match="serial0 has taken what it was not given"):
        ours.taken(member(FIRST_DEVICE, "c"))


def test_a_successor_is_told_from_the_beginning_and_its_predecessor_is_forgotten(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dejavm", FRAMES)
    SnapshotWriter(path, FACTS.id).add(replace(snapshot(1), recording=FACTS.id), iter(()), None)
    ours, said = supplies()
    first = member(CPU, "b")
    load = Load(b"state", str(path), 1)
    ours.load(first, load, ("", 0))
    second = replace(first, identity=b"another")
    with pytest.raises(RemoteWireError, match="cpu has taken what it was not given"):
        ours.taken(second)
    ours.load(second, load, ("", 0))
    assert said == [Load(b"state", "", 1)] * 2
    ours.taken(second)
    with pytest.raises(RemoteWireError, match="cpu has taken what it was not given"):
        ours.taken(first)
