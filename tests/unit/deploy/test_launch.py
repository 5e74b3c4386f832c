"""The launcher against a fake broker and fake nodes: real processes, real sockets, no machine."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deploy import launch as launch_module
from deploy.launch import launch
from deploy.plan import Launch, Places, ProcessPlan
from machine.board import Board
from machine.errors import MachineError
from machine.message import RunMode, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Plan = Callable[[Launch, Places], tuple[ProcessPlan, ...]]

BOARD = Board("tiny")
RUN = Launch(BOARD, RunMode.NONE)
PATIENT = ("-c", "import sys, signal; signal.pause()")


@pytest.fixture(autouse=True)
def _own_runtime_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Left over is whatever stands in it after a run; the path is short enough for a socket.
    monkeypatch.setattr(launch_module, "runtime_directory", lambda: tmp_path)
    monkeypatch.setattr(launch_module, "GRACE_S", 0.5)


def telling(*tale: str, nodes: Mapping[str, tuple[str, ...]] | None = None) -> Plan:
    """A plan of a fake broker that tells a tale, and of nodes that are scraps of Python."""

    def plan(_run: Launch, places: Places) -> tuple[ProcessPlan, ...]:
        broker = (sys.executable, "-m", "tests.unit.deploy.fake_broker", places.control, *tale)
        rows = [ProcessPlan("broker", broker)]
        rows += [ProcessPlan(name, (sys.executable, *argv)) for name, argv in (nodes or {}).items()]
        return tuple(rows)

    return plan


def test_a_guest_that_switches_off_is_exit_code_0(tmp_path: Path) -> None:
    outcome = launch(RUN, telling("running", "running", "ended:shutdown", "leave", "0"))
    assert (outcome.exit_code, outcome.lines) == (0, ())
    assert outcome.status.state is RunState.ENDED
    assert (outcome.status.icount, outcome.status.digest) == (3_000_000, b"\xab\xcd")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "exit_code", "line"),
    [
        ("ended:outside", 0, None),
        ("ended:reboot", 0, "the guest asked for a restart"),
        ("ended:failure", 1, "said that it had failed"),
        ("stopped", 0, None),
        ("failed:no such chip", 1, "no such chip"),
        ("diverged:divergence at 7/8", 3, "divergence at 7/8"),
    ],
)
def test_every_end_has_its_exit_code(word: str, exit_code: int, line: str | None) -> None:
    outcome = launch(RUN, telling("running", word, "leave", "0"))
    assert outcome.exit_code == exit_code
    assert (line is None and not outcome.lines) or (line is not None and line in outcome.lines[0])


def test_a_replay_of_a_guest_that_failed_is_still_exact() -> None:
    outcome = launch(replace(RUN, mode=RunMode.REPLAY_LOG), telling("ended:failure", "leave", "0"))
    assert (outcome.exit_code, outcome.lines) == (0, ())


def test_a_node_that_cannot_be_set_up_is_exit_code_2() -> None:
    node = ("-c", "import sys; sys.exit(2)")
    outcome = launch(RUN, telling("failed:serial0: port 99 is in use", "leave", "0", nodes={"serial0": node}))
    assert (outcome.exit_code, outcome.lines) == (2, ("serial0: port 99 is in use",))


def test_a_broker_that_cannot_read_the_recording_is_exit_code_4() -> None:
    outcome = launch(RUN, telling("failed:log ends at byte 9", "leave", "4"))
    assert (outcome.exit_code, outcome.lines) == (4, ("log ends at byte 9",))


def test_a_node_that_dies_is_named_with_its_last_line(capfd: pytest.CaptureFixture[str]) -> None:
    node = ("-c", "import sys; sys.exit('out of luck')")
    outcome = launch(RUN, telling("running", nodes={"cpu": node}))
    assert outcome.exit_code == 1
    assert outcome.lines == ("cpu ended with exit code 1 in the middle of the run; its last line: out of luck",)
    assert "out of luck" in capfd.readouterr().err


def test_a_killed_node_is_named_with_the_signal() -> None:
    node = ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    outcome = launch(RUN, telling("running", nodes={"rtc0": node}))
    assert (outcome.exit_code, outcome.lines) == (1, ("rtc0 was killed by SIGKILL",))


def test_a_node_for_whose_mapping_there_is_no_page_says_so() -> None:
    # A page behind the end of the file, as one is that a full file system has no room for.
    code = (
        "import mmap, tempfile; file = tempfile.TemporaryFile(); file.truncate(4096); "
        "mapped = mmap.mmap(file.fileno(), 4096); file.truncate(0); mapped[0] = 1"
    )
    outcome = launch(RUN, telling("running", nodes={"rtc0": ("-c", code)}))
    why = "rtc0 was killed by SIGBUS: the host had no room for a page of memory"
    assert (outcome.exit_code, outcome.lines) == (1, (why,))


def test_a_broker_that_is_slow_is_heard_before_a_death_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "GRACE_S", 0.0)
    node = ("-c", "import sys; sys.exit(2)")
    outcome = launch(RUN, telling("failed:cpu: a damaged ELF file", "leave", "0", nodes={"cpu": node}))
    assert (outcome.exit_code, outcome.lines) == (2, ("cpu: a damaged ELF file",))


def test_a_broker_that_never_answers_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "SILENT_S", 0.5)

    def plan(_run: Launch, _places: Places) -> tuple[ProcessPlan, ...]:
        rows = {"broker": PATIENT, "cpu": ("-c", "import sys; sys.exit(2)")}
        return tuple(ProcessPlan(name, (sys.executable, *argv)) for name, argv in rows.items())

    outcome = launch(RUN, plan)
    assert (outcome.exit_code, outcome.lines) == (2, ("cpu ended with exit code 2 in the middle of the run",))


def test_a_broker_that_dies_takes_everything_with_it(tmp_path: Path) -> None:
    outcome = launch(RUN, telling("running", "say", "bad luck", "die", "1", nodes={"cpu": PATIENT}))
    assert outcome.exit_code == 1
    assert outcome.lines == ("broker ended with exit code 1 in the middle of the run; its last line: bad luck",)
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_will_not_leave_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "LEAVE_S", 0.3)
    stubborn = ("-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()")
    nodes = {"cpu": PATIENT, "rtc0": stubborn}
    assert launch(RUN, telling("running", "ended:shutdown", "leave", "0", nodes=nodes)).exit_code == 0
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_run_in_order(name: str) -> None:
    outcome = launch(RUN, telling("running", "interrupt", name, "await-quit", "ended:outside", "leave", "0"))
    assert (outcome.exit_code, outcome.lines) == (0, ())
    assert outcome.status.state is RunState.ENDED


def test_a_second_signal_ends_the_run_by_force() -> None:
    outcome = launch(RUN, telling("running", "interrupt", "SIGINT", "await-quit", "interrupt", "SIGINT", "running"))
    assert (outcome.exit_code, outcome.lines) == (1, ("ended by force",))


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    def plan(_run: Launch, _places: Places) -> tuple[ProcessPlan, ...]:
        return (ProcessPlan("broker", (str(tmp_path / "nothing"),)),)

    with pytest.raises(MachineError, match="cannot start"):
        launch(RUN, plan)
    assert list(tmp_path.iterdir()) == []
