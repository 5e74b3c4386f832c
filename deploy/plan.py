"""Which processes a run needs and how each is called; pure."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.message import RunMode

if TYPE_CHECKING:
    from pathlib import Path

    from machine.board import Board

BROKER: Final = "broker"
CPU: Final = "cpu"
TERMINAL_BACKEND: Final = "stdio"
MODE_NAMES: Final = {
    RunMode.NONE: "none",
    RunMode.RECORD: "record",
    RunMode.REPLAY_LOG: "replay-log",
    RunMode.REPLAY_LIVE: "replay-live",
}
"""The words of the broker's --mode."""

_MODULE: Final = ("-P", "-m")
"""-P: a directory called `devices` where the user happens to stand is not our package."""


@dataclass(frozen=True, slots=True)
class GdbPlace:
    """Where gdb may come, and whether the machine waits for it before its first instruction."""

    address: str
    halted: bool = False


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a branch leaves a recording: the instruction, and where the machine's state there goes, under which id."""

    icount: int
    directory: Path
    recording_id: str
    asleep: bool = False
    """At the log's end instead, if the guest sleeps there."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One run: the machine, what the broker does with the log, where that is and where to stop.

    `end_icount` is the recording's length at replay, 0 otherwise.  `monitor` are the broker's arguments that say where
    its monitor listens beside the machine's own directory.
    """

    board: Board
    mode: RunMode
    recording: Path | None = None
    until: int | None = None
    end_icount: int = 0
    monitor: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    """The broker's arguments that say how snapshots are taken."""
    snapshot: int = 0
    """The snapshot to start from, 0 for power-on."""
    fork: Fork | None = None
    """Replay to where a branch begins, and no further."""
    prepared: Path | None = None
    """Record a branch that has been prepared in this directory."""
    rebuild: bool = False
    """A process that dies while the guest is recorded is started again, and the broker makes it what it was."""
    gdb: GdbPlace | None = None
    go_on: bool = False
    """When the broker is killed another goes on with the recording; on its own host, if that is another one."""


@dataclass(frozen=True, slots=True)
class Places:
    """A running machine's own directory: its sockets and its resolved board."""

    directory: Path

    @property
    def machine(self) -> Path:
        """The resolved board."""
        return self.directory / "machine.toml"

    @property
    def control_path(self) -> Path:
        """The control socket's path; it is there once the broker listens."""
        return self.directory / "control"

    @property
    def control(self) -> str:
        """The control socket's endpoint."""
        return f"ipc://{self.control_path}"

    @property
    def bus(self) -> str:
        """The endpoint the nodes connect to."""
        return f"ipc://{self.directory / 'bus'}"


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process: its name in messages to the user, its command line, whether it needs the terminal."""

    name: str
    argv: tuple[str, ...]
    terminal: bool = False


def plan_processes(launch: Launch, places: Places, python: str = sys.executable) -> tuple[ProcessPlan, ...]:
    """The processes of a run, the broker first; a replay from the log needs no device."""
    machine = ("--board", str(places.machine))
    node = (*machine, "--broker", places.bus)
    stop: tuple[str, ...] = () if launch.until is None else ("--stop-at", str(launch.until))
    stop += ("--incoming",) if launch.snapshot else ()
    run = (python, *_MODULE)
    plans = [
        ProcessPlan(BROKER, (*run, "replay_broker", *machine, *_broker_arguments(launch, places))),
        ProcessPlan(CPU, (*run, "cpu_node", "--node", CPU, *node, *stop, *_gdb_arguments(launch, places))),
    ]
    if launch.mode is not RunMode.REPLAY_LOG:
        for slot in launch.board.devices:
            argv = (*run, "devices", "--node", slot.name, *node)
            plans.append(ProcessPlan(slot.name, argv, uses_terminal(slot.backend)))
    return tuple(plans)


def uses_terminal(word: str) -> bool:
    """Whether a backend is the terminal that we were started on, perhaps with the monitor beside it."""
    return re.split("[:,]", word.removeprefix("mon:"), maxsplit=1)[0] == TERMINAL_BACKEND


def _gdb_arguments(launch: Launch, places: Places) -> tuple[str, ...]:
    if launch.gdb is None:
        return ()
    arguments = ["--gdb", launch.gdb.address, "--qmp", str(places.directory / "qmp")]
    if launch.gdb.halted:
        arguments.append("--halted")
    if launch.mode in (RunMode.NONE, RunMode.RECORD):
        arguments.append("--gdb-writes")
    return tuple(arguments)


def _broker_arguments(launch: Launch, places: Places) -> tuple[str, ...]:
    arguments = ["--bus", places.bus, "--control", places.control, "--mode", MODE_NAMES[launch.mode]]
    if launch.recording is not None:
        arguments += ["--recording", str(launch.recording.absolute())]
    if launch.until is not None:
        arguments += ["--until", str(launch.until)]
    if launch.snapshot:
        arguments += ["--snapshot", str(launch.snapshot)]
    if launch.mode is RunMode.RECORD:
        arguments += ["--on-death", "rebuild" if launch.rebuild else "end"]
    if launch.fork is not None:
        arguments += ["--fork-at", str(launch.fork.icount), "--fork-into", str(launch.fork.directory)]
        arguments += ["--fork-id", launch.fork.recording_id]
        arguments += ["--fork-asleep"] if launch.fork.asleep else []
    if launch.prepared is not None:
        arguments += ["--prepared", str(launch.prepared)]
    if launch.go_on and launch.recording is not None:
        arguments.append("--go-on")
    return (*arguments, *launch.snapshots, *launch.monitor)
