"""State as data: it comes back, its bytes are canonical, damage is refused."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.bounds import Within
from machine.errors import StateError
from machine.vmstate import decode, digest, encode, identity, versions, vmstate


@vmstate("queue", version=3)
@dataclass(slots=True)
class Queue:
    """A nested state."""

    items: tuple[int, ...] = ()
    pair: tuple[bytes, bool] = (b"", False)


@vmstate("chip", version=1)
@dataclass(slots=True)
class Chip:
    """One field of every kind."""

    count: int = 0
    on: bool = False
    received: bytes = b""
    name: str = ""
    queue: Queue = field(default_factory=Queue)
    queues: tuple[Queue, ...] = ()


@vmstate("chip", version=2)
@dataclass(slots=True)
class NewerChip:
    """The same by name."""

    count: int = 0


@vmstate("block", version=1)
@dataclass(slots=True)
class Block:
    """Another."""

    count: int = 0


class Phase(IntEnum):
    """Only these values exist."""

    IDLE = 0
    BUSY = 1


@vmstate("line", version=1)
@dataclass(slots=True)
class Line:
    """A state with a narrow value."""

    phase: Phase = Phase.IDLE


queues = st.builds(
    Queue, items=st.lists(st.integers(), max_size=4).map(tuple), pair=st.tuples(st.binary(max_size=5), st.booleans())
)
chips = st.builds(
    Chip,
    count=st.integers(),
    on=st.booleans(),
    received=st.binary(max_size=20),
    name=st.text(max_size=10),
    queue=queues,
    queues=st.lists(queues, max_size=3).map(tuple),
)


def test_the_versions_of_a_state_name_those_nested_in_it() -> None:
    assert versions(Chip) == (("chip", 1), ("queue", 3))
    assert versions(Line, Chip, Queue) == (("chip", 1), ("line", 1), ("queue", 3))
    with pytest.raises(StateError):
        versions(Queue, type("Undeclared", (Chip,), {"__vmstate__": None}))


@given(chip=chips)
@settings(deadline=None)
def test_every_state_comes_back(chip: Chip) -> None:
    assert decode(Chip, encode(chip)) == chip


@given(one=chips, other=chips)
@settings(deadline=None)
def test_equal_states_and_only_they_have_equal_bytes(one: Chip, other: Chip) -> None:
    assert (encode(one) == encode(other)) == (one == other)
    assert (digest(one) == digest(other)) == (one == other)


@given(chip=chips, data=st.data())
@settings(deadline=None)
def test_cut_bytes_are_refused(chip: Chip, data: st.DataObject) -> None:
    whole = encode(chip)
    with pytest.raises(StateError):
        decode(Chip, whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(chip=chips, data=st.data())
@settings(max_examples=200, deadline=None)
def test_garbled_bytes_are_a_state_or_refused(chip: Chip, data: st.DataObject) -> None:
    whole = bytearray(encode(chip))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(StateError):
        decode(Chip, bytes(whole))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (encode(NewerChip()), "version 2, this program reads chip|is version 2, this program reads 1"),
        (encode(Block()), "is of block, not of chip"),
        (encode(Chip()) + b"\0", "1 bytes are left over behind chip"),
        (b"", "ends at byte 0"),
    ],
)
def test_what_is_not_this_state_is_refused_by_name(data: bytes, error: str) -> None:
    with pytest.raises(StateError, match=error):
        decode(Chip, data)


def test_a_value_that_its_enum_does_not_have_is_refused() -> None:
    assert decode(Line, encode(Line(Phase.BUSY))).phase is Phase.BUSY
    with pytest.raises(StateError, match="2 is not a valid Phase"):
        decode(Line, encode(Line(2)))  # type: ignore[arg-type]


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(StateError, match="is not UTF-8"):
        decode(Chip, encode(Chip(name="abc")).replace(b"abc", b"ab\xff"))


@vmstate("tap", version=1)
@dataclass(slots=True)
class OldestTap:
    """In litres."""

    litres: int


@vmstate("tap", version=2, before=(OldestTap, lambda old: OlderTap(old.litres * 1000)))
@dataclass(slots=True)
class OlderTap:
    """In millilitres."""

    millilitres: int


@vmstate("tap", version=3, before=(OlderTap, lambda old: Tap(old.millilitres, old.millilitres == 0)))
@dataclass(slots=True)
class Tap:
    """With what followed from it before."""

    millilitres: Annotated[int, Within(0, 5000)]
    dry: bool


@vmstate("house", version=1)
@dataclass(slots=True)
class House:
    """Has them inside."""

    taps: tuple[Tap, ...]


@given(litres=st.integers(0, 5))
def test_an_older_state_is_lifted_version_by_version(litres: int) -> None:
    newest = Tap(litres * 1000, litres == 0)
    for older in (OldestTap(litres), OlderTap(litres * 1000), newest):
        assert decode(Tap, encode(older)) == newest
        # The same inside another state, whose own version is what it was.
        assert decode(House, encode(House((older, newest)))) == House((newest, newest))  # type: ignore[arg-type]


def test_a_version_nobody_kept_is_refused_and_named_with_those_that_are_read() -> None:
    newer = vmstate("tap", version=4)(Block)
    try:
        with pytest.raises(StateError, match="saved state of tap is version 4, this program reads 1 to 3"):
            decode(Tap, encode(newer()))
    finally:
        vmstate("block", version=1)(Block)


def test_what_is_declared_as_the_version_before_has_to_be_it() -> None:
    with pytest.raises(StateError, match="OldestTap is not version 2 of tap"):
        vmstate("tap", version=3, before=(OldestTap, lambda old: old))
    with pytest.raises(StateError, match="Block is not version 1 of tap"):
        vmstate("tap", version=2, before=(Block, lambda old: old))


def test_a_class_that_was_not_declared_is_refused() -> None:
    with pytest.raises(StateError, match="int is not declared as vmstate"):
        identity(int)


@pytest.mark.parametrize("value", [1.5, {1: 2}, [1], None, Chip])
def test_a_value_that_has_no_canonical_bytes_is_refused(value: object) -> None:
    with pytest.raises(StateError, match="state cannot hold"):
        encode(value)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_digest_is_the_same_in_every_process(seed: str) -> None:
    code = "from tests.unit.machine.test_vmstate import *; print(digest(Chip(7, True, b'x', 'y', Queue((1, 2)))).hex())"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == digest(Chip(7, True, b"x", "y", Queue((1, 2)))).hex()
