"""The ledger: stamps before anybody acts, a log that is at most 100 ms behind, whatever the host's clock does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.recording.format import CHUNK_NS
from machine.recording.reader import Recording
from machine.recording.times import host_times
from replay_broker import ledger as ledger_module
from replay_broker.ledger import LogLedger
from tests.unit.machine.recordings import BOARD, FACTS, FRAMES

if TYPE_CHECKING:
    from pathlib import Path

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


class Clock:
    """The host's two clocks; one of them can be set."""

    def __init__(self) -> None:
        self.wall_ns = START_NS
        self.since_boot_ns = 5_000

    def time_ns(self) -> int:
        """Unix time."""
        return self.wall_ns

    def monotonic_ns(self) -> int:
        """Since some start."""
        return self.since_boot_ns

    def pass_ns(self, ns: int) -> None:
        """Time passes."""
        self.wall_ns += ns
        self.since_boot_ns += ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ledger_module, "time", clock)
    return clock


def _readable(path: Path) -> int:
    """How many messages somebody else finds in the log now, its writer still alive."""
    return len(list(Recording(path, BOARD, FACTS).frames()))


def test_what_was_entered_100_ms_ago_is_in_the_log(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "x.dejavm"
    ledger = LogLedger(path, BOARD, FACTS)
    assert ledger.due_in_ns() is None
    ledger.enter(FRAMES[0])
    clock.pass_ns(30 * MS)
    # The time counts from when it was entered, not from when somebody came round to write it down.
    ledger.write_down()
    assert ledger.due_in_ns() == CHUNK_NS - 30 * MS
    clock.pass_ns(69 * MS)
    ledger.enter(FRAMES[1])
    ledger.tick()
    assert _readable(path) == 0
    clock.pass_ns(1 * MS)
    ledger.tick()
    assert _readable(path) == 2
    assert ledger.due_in_ns() is None


@pytest.mark.parametrize("step_ns", [-3600 * 1000 * MS, 3600 * 1000 * MS])
def test_a_clock_that_is_set_moves_neither_the_promise_nor_the_times(
    tmp_path: Path, clock: Clock, step_ns: int
) -> None:
    path = tmp_path / "x.dejavm"
    ledger = LogLedger(path, BOARD, FACTS)
    ledger.enter(FRAMES[0])
    ledger.write_down()
    clock.wall_ns += step_ns
    clock.pass_ns(99 * MS)
    ledger.tick()
    assert _readable(path) == 0
    clock.pass_ns(1 * MS)
    ledger.tick()
    assert _readable(path) == 1
    ledger.enter(FRAMES[1])
    clock.pass_ns(CHUNK_NS)
    ledger.tick()
    assert list(host_times(path / "log.mcap")) == [START_NS, START_NS + CHUNK_NS]


def test_an_unclean_end_keeps_everything_that_was_entered(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "x.dejavm"
    ledger = LogLedger(path, BOARD, FACTS)
    for frame in FRAMES[:5]:
        ledger.enter(frame)
    ledger.close(clean=False)
    assert _readable(path) == 5
