"""Backends that were changed are known to the broker that comes behind one that was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.errors import MachineError
from machine.icount import BROKER
from machine.message import WIRE_VERSION, BackendChanged, Hello, RunMode, Welcome
from replay_broker.changes import KEPT, BackendChanges
from replay_broker.door import Door
from replay_broker.roster import Roster
from tests.unit.replay_broker.stage import frame_of

if TYPE_CHECKING:
    from pathlib import Path

    from machine.message import Message


def changed(directory: Path) -> BackendChanges:
    """A broker's, behind two changes and one that could not be."""
    changes = BackendChanges()
    changes.keep(directory)
    said: list[str] = []
    for node, word, answer, seq in (
        ("serial0", "null", BackendChanged(), 7),
        ("usb0", "none;kbd", BackendChanged(), 20),
        ("usb0", "storage,file=/no", BackendChanged("no such file"), 30),
    ):
        changes.ask(node, word, said.append)
        changes.hear(node, answer, seq)
    assert said == ["", "", "no such file"]
    return changes


def test_the_next_broker_knows_them_and_where_they_came(tmp_path: Path) -> None:
    changed(tmp_path)
    behind = BackendChanges()
    behind.keep(tmp_path, 50)
    assert behind.backends == {"serial0": "null", "usb0": "none;kbd"}
    assert (behind.since("serial0"), behind.since("usb0")) == (("null", 7), ("none;kbd", 20))
    assert behind.since("rtc0") == ("", 0)


def test_one_that_came_in_the_instant_that_is_lost_is_there_from_where_it_goes_on(tmp_path: Path) -> None:
    changed(tmp_path)
    for last in (10, 50):
        behind = BackendChanges()
        behind.keep(tmp_path, last)
        assert (behind.since("serial0"), behind.since("usb0")) == (("null", 7), ("none;kbd", 10))


def test_a_backend_that_has_become_another_one_has_all_its_past(tmp_path: Path) -> None:
    changes = changed(tmp_path)
    for node, word in (("serial0", "null,x"), ("nic0", "tap,link=off")):
        changes.ask(node, word, lambda _: None)
        changes.hear(node, BackendChanged(stays=True), 40)
    assert (changes.since("serial0"), changes.since("nic0")) == (("null,x", 7), ("tap,link=off", 0))


def test_a_machine_that_begins_knows_nothing_of_one_before(tmp_path: Path) -> None:
    changed(tmp_path)
    behind = BackendChanges()
    behind.keep(tmp_path)
    assert behind.backends == {}
    assert not (tmp_path / KEPT).exists()


@pytest.mark.parametrize("text", ["{", "[1]", '{"usb0": 3}'])
def test_what_no_broker_has_written_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / KEPT).write_text(text)
    with pytest.raises(MachineError, match=f"{KEPT}: cannot know which backends were changed"):
        BackendChanges().keep(tmp_path, 0)


def test_where_it_cannot_be_written_down_the_change_is_made_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = BackendChanges()
    changes.keep(tmp_path / "gone")
    changes.ask("serial0", "null", lambda _: None)
    changes.hear("serial0", BackendChanged(), 7)
    assert changes.since("serial0") == ("null", 7)
    assert "so a killed broker would forget it" in caplog.text


@pytest.mark.parametrize("continued", ["/rec.dejavm", ""])
def test_a_device_is_told_which_backend_it_has_where_another_broker_was_before(tmp_path: Path, continued: str) -> None:
    roster = Roster.of(("cpu", "serial0", "usb0"))
    told: dict[bytes, Message] = {}
    door = Door(roster, RunMode.RECORD, told.__setitem__, lambda _: None)
    door.continued, door.changed = (continued, 9 if continued else 0), changed(tmp_path).since
    for name in ("usb0", "serial0", "cpu"):
        hello = Hello(WIRE_VERSION, name, 1, "memory" if name == "cpu" else "")
        door.knock(name.encode(), frame_of(hello, BROKER, BROKER, 0), over=False, begun=False)
    welcomes = {name: said for name, said in told.items() if isinstance(said, Welcome)}
    backends = {name: (said.backend, said.backend_seq) for name, said in welcomes.items()}
    kept = {b"cpu": ("", 0), b"serial0": ("null", 7), b"usb0": ("none;kbd", 20)}
    assert backends == (kept if continued else dict.fromkeys(kept, ("", 0)))
