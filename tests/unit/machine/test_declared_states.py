"""Every state of every process: saved, loaded and saved again it is the same, and what it cannot be is refused."""

from __future__ import annotations

import typing
from dataclasses import is_dataclass, replace
from typing import Annotated, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machine.bounds import Long, Within
from machine.errors import StateError
from machine.recording.snapshots.snapshot import Snapshot, Snapshot1, Snapshot2, Snapshot3
from machine.vmstate import decode, encode, identity, layouts, versions
from tests.unit.machine.declared import declared_states, states

STATES: Final = declared_states()
_LATEST: Final = dict(sorted(map(identity, STATES)))
NEWEST: Final = [cls for cls in STATES if _LATEST[identity(cls)[0]] == identity(cls)[1]]
OLDER: Final = [cls for cls in STATES if cls not in NEWEST]
few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def names(cls: type) -> str:
    return "{}-{}".format(*identity(cls))


def test_states_of_every_process_are_among_them() -> None:
    found = {identity(cls)[0] for cls in STATES}
    assert {"cpu-node", "riscv64-platform", "plic", "device-timers", "cpu-loop", "window"} <= found
    assert {"serial16550", "virtio-net", "virtio-input", "xhci", "usb-storage", "goldfish-rtc", "virtio-rng"} <= found
    assert {"broker", "pending-input", "snapshot", "place"} <= found
    for cls in NEWEST:
        assert {name for name, _ in versions(cls)} <= found


@pytest.mark.parametrize("cls", STATES, ids=names)
@given(data=st.data())
@few
def test_what_is_saved_and_loaded_is_saved_as_the_same_bytes(cls: type, data: st.DataObject) -> None:
    saved = encode(data.draw(states(cls)))
    assert encode(decode(cls, saved)) == saved


@pytest.mark.parametrize("cls", NEWEST, ids=names)
@given(data=st.data())
@few
def test_unknown_missing_and_left_over_state_is_refused_by_name(cls: type, data: st.DataObject) -> None:
    name, version = identity(cls)
    saved = encode(data.draw(states(cls)))
    body = saved[1 + len(encode(name)) + len(encode(version)) :]
    with pytest.raises(StateError, match=f"left over behind {name}"):
        decode(cls, saved + b"t")
    with pytest.raises(StateError, match=f"is of another, not of {name}"):
        decode(cls, b"d" + encode("another") + encode(version) + body)
    with pytest.raises(StateError, match=f"saved state of {name} is version {version + 1}, this program reads"):
        decode(cls, b"d" + encode(name) + encode(version + 1) + body)
    fields = int.from_bytes(body[:4], "big")
    for wrong in (fields - 1, fields + 1):
        with pytest.raises(StateError, match=f"saved state of {name} has {wrong} fields, not {fields}"):
            decode(cls, b"d" + encode(name) + encode(version) + wrong.to_bytes(4, "big") + body[4:])


def bounded(cls: type) -> list[tuple[str, object]]:
    """The fields of a state that have bounds, and a value of each that is beyond them."""
    found: list[tuple[str, object]] = []
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        if typing.get_origin(hint) is not Annotated:
            continue
        inner, bound = typing.get_args(hint)
        if isinstance(bound, Within):
            found.append((name, bound.least - 1))
            found += [] if bound.most is None else [(name, bound.most + 1)]
        elif isinstance(bound, Long) and inner is bytes:
            found.append((name, bytes(bound.unit + 1 if bound.most is None else bound.most + 1)))
        elif isinstance(bound, Long) and bound.least:
            found.append((name, ()))
    return found


@pytest.mark.parametrize("cls", [cls for cls in NEWEST if bounded(cls)], ids=names)
@given(data=st.data())
@few
def test_what_is_out_of_range_is_refused_by_the_name_of_its_field(cls: type, data: st.DataObject) -> None:
    state = data.draw(states(cls))
    for field, value in bounded(cls):
        with pytest.raises(StateError, match=f"{identity(cls)[0]}\\.{field}: .* is not"):
            decode(cls, encode(replace(state, **{field: value})))


@pytest.mark.parametrize("cls", OLDER, ids=names)
@given(data=st.data())
@few
def test_an_older_version_is_lifted_and_saved_as_the_newest(cls: type, data: st.DataObject) -> None:
    newest = next(new for new in NEWEST if identity(new)[0] == identity(cls)[0])
    assert cls in [kept for kept, _ in layouts(newest)]
    old = data.draw(states(cls))
    lifted: object = decode(newest, encode(old))
    assert type(lifted) is newest
    assert decode(newest, encode(lifted)) == lifted
    # The function is pure, and forgets nothing that both versions have.
    for name in typing.get_type_hints(newest):
        if hasattr(old, name) and not is_dataclass(getattr(old, name)):
            assert getattr(lifted, name) == getattr(old, name)


def test_a_snapshot_is_of_its_fourth_version() -> None:
    assert identity(Snapshot) == ("snapshot", 4)
    assert [kept for kept, _ in layouts(Snapshot)] == [Snapshot1, Snapshot2, Snapshot3, Snapshot]
