"""Which processes a run has and what each is told."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from deploy.plan import Launch, Places, plan_processes
from machine.board import Board, DeviceSlot
from machine.message import RunMode

BOARD = Board(
    "tiny",
    devices=(
        DeviceSlot("serial0", "serial", 0x1000_0000, 10, backend="stdio"),
        DeviceSlot("rtc0", "rtc", 0x10_1000, 11, backend="host"),
    ),
)
PLACES = Places(Path("/run/m"))
RECORD = Launch(BOARD, RunMode.RECORD, Path("/rec/x.dejavm"))


def test_a_recording_run_has_the_broker_the_cpu_and_every_device() -> None:
    plans = plan_processes(RECORD, PLACES)
    assert [plan.name for plan in plans] == ["broker", "cpu", "serial0", "rtc0"]
    python = (sys.executable, "-P", "-m")
    machine = ("--board", "/run/m/machine.toml")
    ends = ("--bus", "ipc:///run/m/bus", "--control", "ipc:///run/m/control")
    assert plans[0].argv == (
        *python, "replay_broker", *machine, *ends, "--mode", "record", "--recording", "/rec/x.dejavm",
        "--on-death", "end",
    )  # fmt: skip
    assert plans[1].argv == (*python, "cpu_node", "--node", "cpu", *machine, "--broker", "ipc:///run/m/bus")
    assert plans[2].argv == (*python, "devices", "--node", "serial0", *machine, "--broker", "ipc:///run/m/bus")


def test_only_a_device_on_stdio_gets_the_terminal() -> None:
    assert [plan.terminal for plan in plan_processes(RECORD, PLACES)] == [False, False, True, False]


def test_a_replay_from_the_log_has_no_device() -> None:
    plans = plan_processes(replace(RECORD, mode=RunMode.REPLAY_LOG), PLACES)
    assert [plan.name for plan in plans] == ["broker", "cpu"]
    assert "replay-log" in plans[0].argv


def test_a_stop_is_told_to_broker_and_cpu() -> None:
    plans = plan_processes(replace(RECORD, mode=RunMode.REPLAY_LIVE, until=77), PLACES)
    assert plans[0].argv[-2:] == ("--until", "77")
    assert plans[1].argv[-2:] == ("--stop-at", "77")
    assert "77" not in plans[2].argv


def test_a_run_without_a_log_names_no_recording() -> None:
    plans = plan_processes(replace(RECORD, mode=RunMode.NONE, recording=None), PLACES)
    assert plans[0].argv[-2:] == ("--mode", "none")


def test_where_the_monitor_listens_too_is_told_to_the_broker_alone() -> None:
    plans = plan_processes(replace(RECORD, monitor=("--qmp", "unix:/q")), PLACES)
    assert plans[0].argv[-2:] == ("--qmp", "unix:/q")
    assert not any("--qmp" in plan.argv for plan in plans[1:])
