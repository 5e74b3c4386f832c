"""What a device is told comes from its backend and from the monitor: behind any death each input is told once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.backends.base import BackendBase
from devices.backends.char.null import NullBackend
from devices.backends.input.script import InputScriptBackend
from devices.continued_gate import ContinuedGate, Past
from devices.gate import LiveGate
from devices.journal import Journal
from machine.board import DeviceSlot
from machine.codec import type_of
from machine.icount import BROKER, CPU
from machine.input_events import pack_group
from machine.message import BackendResult, Done, HostEvent, HostInput, HostOutput, Reset, Sync
from tests.harness.fake_broker import FakeBroker
from tests.unit.devices.heard import A, B, down
from tests.unit.replay_broker.stage import SERIAL, Recorded, frame_of, say

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from machine.message import Message

ROOM = 1 << 20
PASSED = frozenset(type_of(cls) for cls in (HostInput, BackendResult, Done, HostOutput))
TYPED, SENT = st.sampled_from((b"a", b"bb")), b"monitor's"
DELAYS = st.sampled_from((0, 7, 100))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("typed"), TYPED, DELAYS),
        st.tuples(st.just("sent"), st.just(SENT), DELAYS),
        st.tuples(st.just("sync"), st.just(b""), st.just(0)),
    ),
    max_size=30,
)


class Hands(BackendBase):
    """A backend that says what a test wants."""

    def say(self, data: bytes, delay_ns: int = 0) -> None:
        """Something is typed."""
        self._submit(HostEvent.DATA, data, delay_ns)


@dataclass
class Spoken:
    """A link to a session, which hears what is said at once."""

    recorded: Recorded
    icount: int = 0

    def say(self, message: Message, target: int) -> None:
        """The device says something."""
        say(self.recorded.session, message, SERIAL, self.icount, target)

    def flush(self) -> None:
        """It has been heard."""


class Typed:
    """A machine that is recorded, one of its devices with a backend and a journal."""

    def __init__(self, journal: Path) -> None:
        self.recorded = Recorded().power_on()
        self.path = journal
        self.link = Spoken(self.recorded)
        self.hands = Hands("serial0")
        self.journal = Journal(journal, new=True)
        self.gate = LiveGate(self.link, self.hands, self.journal)  # type: ignore[arg-type]
        self.gate.open()
        self.gate.handled(ROOM)

    def send(self, data: bytes, delay_ns: int = 0) -> None:
        """The monitor has something for the device."""
        self.recorded.session.submit(SERIAL, HostInput(HostEvent.DATA, data, delay_ns))

    def sync(self) -> None:
        """The CPU comes to a sync point a little later: whatever is due is delivered."""
        self.link.icount += 10
        say(self.recorded.session, Sync(), CPU, self.link.icount)
        while told := [said for target, said in self.recorded.stage.take() if target == SERIAL]:
            for message in told:
                if isinstance(message, HostInput):
                    if not message.by_monitor:
                        # As the shell does.
                        self.gate.delivered(message)
                    self.gate.handled(ROOM)
                    self.link.say(Done(), 0)

    def act(self, steps: list[tuple[str, bytes, int]]) -> None:
        """All that happens."""
        for what, data, delay_ns in steps:
            if what == "typed":
                self.hands.say(data, delay_ns)
            elif what == "sent":
                self.send(data, delay_ns)
            else:
                self.sync()

    def past(self, last: int) -> Past:
        """The device's, where the log ends behind a message."""
        frames = [frame for frame in self.recorded.ledger.frames if frame.seq <= last and frame.type in PASSED]
        return Past(last, lambda: iter([frame for frame in frames if SERIAL in (frame.source, frame.target)]))

    def delivered(self, last: int) -> list[HostInput]:
        """What the log has of inputs."""
        said = (message for *_, message in self.recorded.ledger.said()[:last])
        return [message for message in said if isinstance(message, HostInput)]


def unsaid(typed: Typed, last: int) -> list[HostInput]:
    """What is said again where the log ends behind a message."""
    typed.journal.forget()
    behind = typed.past(last).journal(typed.path, NullBackend("serial0"))
    found = [message for _, message in behind.submitted_after(0)]
    behind.forget()
    return found


@given(STEPS, st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_behind_a_killed_broker_what_was_typed_is_in_the_log_or_said_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes, int]], cut: int
) -> None:
    typed = Typed(tmp_path_factory.mktemp("j") / "journal")
    typed.act(steps)
    brought = [HostInput(HostEvent.DATA, data, delay_ns) for what, data, delay_ns in steps if what == "typed"]
    last = min(cut, typed.recorded.ledger.messages)
    logged = [message for message in typed.delivered(last) if message.data != SENT]
    found = unsaid(typed, last)
    assert Counter(logged + found) == Counter(brought)
    rest = iter(brought)
    assert all(message in rest for message in found), "in the order in which it was typed"


def test_what_the_monitor_presses_is_not_taken_for_the_same_key_of_the_backend(tmp_path: Path) -> None:
    typed = Typed(tmp_path / "journal")
    typed.send(b"a")
    typed.sync()
    # The broker dies before this one is delivered.
    typed.hands.say(b"a")
    assert unsaid(typed, typed.recorded.ledger.messages) == [HostInput(HostEvent.DATA, b"a")]


def test_a_second_death_counts_from_the_first(tmp_path: Path) -> None:
    typed = Typed(tmp_path / "journal")
    for data in (b"a", b"b"):
        typed.hands.say(data)
        typed.sync()
    typed.send(SENT)
    typed.sync()
    last = typed.recorded.ledger.messages
    typed.hands.say(b"c")
    for _ in range(2):
        assert unsaid(typed, last) == [HostInput(HostEvent.DATA, b"c")]
        typed.journal = Journal(typed.path, new=False)


def test_what_was_said_again_at_a_pace_is_known_as_the_same(tmp_path: Path) -> None:
    typed = Typed(tmp_path / "journal")
    for data in (b"a", b"b", b"a"):
        typed.hands.say(data)
    last = typed.recorded.ledger.messages
    assert len(unsaid(typed, last)) == 3
    typed.journal = Journal(typed.path, new=False)
    # The broker dies again, behind the first of them.
    paced = frame_of(HostInput(HostEvent.DATA, b"a", 100), BROKER, SERIAL, 10, last + 1)
    past = Past(last + 1, lambda: iter([*typed.past(last).frames(), paced]))
    journal = past.journal(typed.path, NullBackend("serial0"))
    assert [message.data for _, message in journal.submitted_after(0)] == [b"b", b"a"]
    journal.close()


def test_a_script_does_not_take_the_monitors_key_for_its_own(tmp_path: Path) -> None:
    """Its key had not been delivered when the broker died, and the monitor's had."""
    (tmp_path / "s").write_text("delay 1s\nkey a down\nkey b down\n")
    a, b = (HostInput(HostEvent.DATA, pack_group((down(code),))) for code in (A, B))
    typed = Typed(tmp_path / "journal")
    typed.send(a.data)
    typed.sync()
    past = typed.past(typed.recorded.ledger.messages)
    link = Spoken(Recorded().power_on())
    script = InputScriptBackend(str(tmp_path / "s"), "input0")
    journal = past.journal(tmp_path / "journal", script)
    gate = ContinuedGate(link, script, journal, past)  # type: ignore[arg-type]
    gate.open()
    gate.loaded()
    gate.handled(ROOM)
    assert journal.submitted_after(0) == [(1, msgspec.structs.replace(a, delay_ns=10**9))]
    gate.delivered(a)
    gate.handled(ROOM)
    assert [message for _, message in journal.submitted_after(1)] == [b]
    gate.close()
    journal.close()


@given(STEPS)
@settings(max_examples=50, deadline=None)
def test_a_successor_is_told_of_its_backends_inputs_only(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes, int]]
) -> None:
    typed = Typed(tmp_path_factory.mktemp("j") / "journal")
    typed.act(steps)
    session = typed.recorded.session
    brought = [data for what, data, _ in steps if what == "typed"]
    arrived = [message.data for message in typed.delivered(session.messages) if message.data != SENT]
    # What it says again is what is behind that number: nothing.
    assert session.pasts[SERIAL].inputs == len(brought) == typed.journal.last_input
    waiting = sum(map(len, brought)) - sum(map(len, arrived))
    assert session.waiting_bytes(SERIAL) == waiting
    assert typed.gate.room(ROOM) == ROOM - waiting
    assert typed.gate.bytes_in == sum(map(len, arrived))
    typed.journal.close()


def test_a_scripts_next_key_waits_for_its_own_and_not_for_the_monitors(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("delay 1s\nkey a down\nkey b down\n")
    (tmp_path / "run").mkdir()
    slot = DeviceSlot("input0", "input", 0x1000_0000, irq=1, backend=f"script,path={tmp_path}/s")
    broker = FakeBroker(tmp_path / "run", slot)
    try:
        broker.start()
        a, b = (HostInput(HostEvent.DATA, pack_group((down(code),))) for code in (A, B))
        assert msgspec.structs.replace(a, delay_ns=10**9) in broker.ask(Reset())
        assert broker.ask(msgspec.structs.replace(a, by_monitor=True), 10) == [Done()]
        assert broker.ask(a, 20) == [b, Done()]
    finally:
        broker.close()
