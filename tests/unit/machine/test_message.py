"""What holds of every message, and of every part of one: values that nobody changes."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest

from machine.codec import MESSAGES, NESTED
from machine.message import Access, AccessKind, Grant, Kick, Message, MmioAccess, Reset, Sync
from machine.message_base import MessageStruct

EVERY = [*(cls for cls, _ in MESSAGES.values()), *NESTED]
WRITE = MmioAccess((Access(AccessKind.WRITE, 4, 1, value=7),))


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_every_message_is_a_frozen_struct_that_the_collector_leaves_alone(cls: type[MessageStruct]) -> None:
    config = cls.__struct_config__
    assert (config.frozen, config.eq, config.gc) == (True, True, False)


def test_a_message_is_not_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        WRITE.accesses = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Kick().more = 1  # type: ignore[attr-defined]


def test_messages_are_equal_by_what_they_say_and_of_one_kind_only() -> None:
    assert Grant(7) == Grant(until_icount=7) != Grant(8)
    assert len({Grant(7), Grant(until_icount=7), Sync()}) == 2
    different: tuple[Message, Message] = Kick(), Reset()
    assert different[0] != different[1]


def test_a_message_is_shown_as_it_is_made() -> None:
    access = "Access(kind=<AccessKind.WRITE: 1>, offset=4, size=1, value=7, data=b'')"
    assert repr(WRITE) == f"MmioAccess(accesses=({access},))"
    assert repr(Kick()) == "Kick()"


def test_a_message_is_taken_apart_by_place_and_by_name() -> None:
    match WRITE.accesses[0]:
        case Access(AccessKind.WRITE, offset, value=value):
            assert (offset, value) == (4, 7)
        case other:
            pytest.fail(f"{other} is taken for none")


def test_a_message_is_copied_and_pickled() -> None:
    assert copy.deepcopy(WRITE) == pickle.loads(pickle.dumps(WRITE)) == WRITE  # noqa: S301  # our own bytes


def test_the_collector_has_nothing_to_look_at() -> None:
    assert not gc.is_tracked(WRITE)
