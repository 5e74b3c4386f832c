"""A backend whose broker has died is told its past from the log, and goes on; what nobody has had is said again."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from devices.backends.char.address import StreamAddress
from devices.backends.char.file import FileBackend
from devices.backends.char.null import NullBackend
from devices.backends.char.script import ScriptBackend
from devices.backends.char.stream import StreamBackend
from devices.continued_gate import ContinuedGate, Past
from devices.estate import BackendEstate
from devices.journal import Journal
from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.message import BackendResult, Checkpoint, Done, HostEvent, HostInput, HostOutput

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from machine.message import Message

NUMBER = 2


@dataclass
class Heard:
    """A link that remembers."""

    icount: int = 0
    messages: list[Message] = field(default_factory=list)

    def say(self, message: Message, _target: int) -> None:
        """What the gate says."""
        self.messages.append(message)

    def flush(self) -> None:
        """It is said."""

    def inputs(self) -> list[HostInput]:
        """What it has said for the guest."""
        return [message for message in self.messages if isinstance(message, HostInput)]


def past_of(*said: Message) -> Past:
    """A device's past in which these were said, one message each."""
    frames = []
    for seq, message in enumerate(said, 1):
        source, target = (BROKER, NUMBER) if isinstance(message, HostInput) else (NUMBER, CPU)
        frames.append(Frame(type_of(type(message)), source, target, seq, encode(message), seq))
    return Past(len(frames), lambda: iter(frames))


def gate_of(
    directory: Path, backend: ScriptBackend | FileBackend | NullBackend, past: Past
) -> tuple[ContinuedGate, Heard]:
    """A gate at the end of its past, and what it has said."""
    link = Heard()
    journal = past.journal(directory / "journal", backend)
    gate = ContinuedGate(link, backend, journal, past)  # type: ignore[arg-type]
    gate.open()
    gate.loaded()
    gate.keep(1, b"state")
    gate.handled(gate.room(16))
    assert any(isinstance(message, Checkpoint) for message in link.messages)
    return gate, link


def test_a_script_is_where_it_was_in_the_middle_of_what_it_types(tmp_path: Path) -> None:
    (tmp_path / "s").write_text('expect A\nsend "xy"\nexpect B\nsend "z"\n')
    said = (HostOutput(b"A"), BackendResult(1), Done(), HostInput(HostEvent.DATA, b"x"), Done())
    gate, link = gate_of(tmp_path, ScriptBackend(str(tmp_path / "s"), "serial0"), past_of(*said))
    assert link.inputs() == [HostInput(HostEvent.DATA, b"y")]
    gate.output(b"B")
    gate.handled(16)
    assert link.inputs()[1:] == [HostInput(HostEvent.DATA, b"z")]
    gate.close()


def test_a_file_is_what_the_log_says(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"what was written behind the log's end, too")
    said = (HostOutput(b"one"), BackendResult(3), Done(), HostOutput(b"two"), BackendResult(2), Done())
    gate, link = gate_of(tmp_path, FileBackend(str(out), "serial0"), past_of(*said))
    assert out.read_bytes() == b"onetw"
    gate.output(b"o")
    gate.close()
    assert out.read_bytes() == b"onetwo"
    assert not [each for each in link.inputs() if each.event is not HostEvent.WRITABLE]


def test_a_file_that_was_put_there_later_has_what_came_since(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = (HostOutput(b"one"), BackendResult(1), HostInput(HostEvent.CLOSED), HostOutput(b"two"), BackendResult(3))
    past = replace(past_of(*said), since=2)
    gate, link = gate_of(tmp_path, FileBackend(str(out), "serial0"), past)
    # That the file before had taken less is nothing to this one.
    assert link.inputs() == []
    gate.output(b"three")
    gate.close()
    assert out.read_bytes() == b"twothree"


def test_what_the_last_process_had_brought_and_the_log_has_not_is_said_once(tmp_path: Path) -> None:
    before = Journal(tmp_path / "journal", new=True)
    for number, data in enumerate((b"a", b"b", b"c"), 1):
        before.submit(number, HostInput(HostEvent.DATA, data))
    before.forget()
    past = past_of(HostInput(HostEvent.DATA, b"a"), Done())
    gate, link = gate_of(tmp_path, NullBackend("serial0"), past)
    assert [each.data for each in link.inputs()] == [b"b", b"c"]
    gate.close()
    # Another broker dies before any of it is in the log.
    again, heard = gate_of(tmp_path, NullBackend("serial0"), past)
    assert [each.data for each in heard.inputs()] == [b"b", b"c"]
    again.close()


def test_what_nobody_has_had_is_said_as_the_device_has_room(tmp_path: Path) -> None:
    before = Journal(tmp_path / "journal", new=True)
    brought = [HostInput(HostEvent.DATA, bytes([number]) * 300, 5 * number) for number in range(3)]
    for number, message in enumerate(brought, 1):
        before.submit(number, message)
    before.forget()
    link = Heard()
    past = Past(0, lambda: iter(()))
    journal = past.journal(tmp_path / "journal", NullBackend("serial0"))
    gate = ContinuedGate(link, NullBackend("serial0"), journal, past)  # type: ignore[arg-type]
    gate.open()
    gate.loaded()
    for number, message in enumerate(brought):
        # The host is not read as long as there is any.
        assert gate.room(400) == 0
        gate.handled(0)
        assert link.inputs() == brought[: number + 1]
        assert (gate.room(400) == 0) == (number < 2)
        gate.handled(0)
        assert link.inputs() == brought[: number + 1]
        gate.delivered(message)
    assert gate.room(400) == 400
    gate.close()


class Answered(NullBackend):
    """A backend whose other side has had answers to what it brought."""

    @property
    def pace_ns(self) -> int:
        """Of virtual time."""
        return 7


def test_what_was_answered_is_said_again_one_by_one_and_later(tmp_path: Path) -> None:
    before = Journal(tmp_path / "journal", new=True)
    brought = [HostInput(HostEvent.DATA, bytes([number])) for number in range(3)]
    for number, message in enumerate(brought, 1):
        before.submit(number, message)
    before.forget()
    gate, link = gate_of(tmp_path, Answered("serial0"), past_of(HostOutput(b"x"), BackendResult(1)))
    # The pace counts from the last message of the past.
    assert link.icount == 2
    for number in range(1, 4):
        assert [each.data for each in link.inputs()] == [each.data for each in brought[:number]]
        assert {each.delay_ns for each in link.inputs()} == {7}
        # The host is read when the last of them has arrived, which has to stay in front.
        assert gate.room(400) == 0
        gate.handled(0)
        gate.delivered(link.inputs()[-1])
        gate.handled(gate.room(400))
    assert gate.room(400) == 400
    gate.close()


class Keeping(BackendEstate):
    """An estate that keeps descriptors itself."""

    def __init__(self, journal: Journal, kept: dict[str, tuple[int, ...]]) -> None:
        super().__init__(journal, "serial0")
        self._kept = kept

    def leave(self, name: str, *descriptors: int) -> None:
        """Keep a second one of each."""
        self.take_out(name)
        self._kept[name] = tuple(os.dup(each) for each in descriptors)

    def find(self, name: str) -> tuple[int, ...]:
        """Those that are kept."""
        return tuple(os.dup(each) for each in self._kept.get(name, ()))

    def take_out(self, name: str) -> None:
        """Close them."""
        for each in self._kept.pop(name, ()):
            os.close(each)


def test_a_server_that_had_waited_for_somebody_goes_on_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEJAVM_RUN_DIRECTORY", str(tmp_path))
    place, path = tmp_path / "line", tmp_path / "journal"
    kept: dict[str, tuple[int, ...]] = {}
    first = Journal(path, new=True)
    dead = StreamBackend(StreamAddress(path=str(place), server=True), "serial0")
    dead.keep(Keeping(first, kept))
    dead.open(lambda *_: None)
    assert dead.waiting()
    first.forget()
    with socket.socket(socket.AF_UNIX) as peer:
        # Somebody whom it does not come to let in any more.
        peer.connect(str(place))
        past = Past(0, lambda: iter(()))
        journal = past.journal(path, NullBackend("serial0"))
        successor = StreamBackend(StreamAddress(path=str(place), server=True), "serial0")
        successor.keep(Keeping(journal, kept))
        gate = ContinuedGate(Heard(), successor, journal, past)  # type: ignore[arg-type]
        gate.open()
        assert successor.waiting()
        gate.loaded()
        assert successor.waiting()
        (descriptor,) = (each for each, _, _ in successor.descriptors(16))
        successor.ready(descriptor, readable=True, writable=False, room=16)
        assert not successor.waiting()
        gate.close()
    dead.close()
    journal.close()


class Replugged(NullBackend):
    """A backend of which everything is pulled out and plugged in again."""

    @property
    def replugs(self) -> bool:
        """It does."""
        return True


def test_what_was_brought_for_something_that_is_pulled_out_is_not_said_again(tmp_path: Path) -> None:
    before = Journal(tmp_path / "journal", new=True)
    # More than the device ever has room for would keep everything behind it waiting for good.
    before.submit(1, HostInput(HostEvent.DATA, bytes(1 << 16)))
    before.forget()
    gate, link = gate_of(tmp_path, Replugged("usb0"), past_of(Done()))
    assert link.inputs() == []
    assert gate.room(16) == 16
    gate.close()
