"""Starting a machine as a service: its files, its supervisor, and waiting until the guest runs.

Lives here: the steps; a start that fails leaves nothing.  Never here: the words of the command line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from deploy.host_signals import deaf, dying_as_interrupt, held_back
from deploy.outcome import TERMINAL_STATES
from deploy.supervision import daemon
from deploy.supervision.configuration import LISTENER, Service, render
from deploy.supervision.diagnostics import Stream
from deploy.supervision.last_word import keep_room
from deploy.supervision.place import claim, give_back
from deploy.supervision.processes import ServiceOptions, plan_service
from deploy.supervision.remains import remains
from deploy.supervision.report import Facts, reach, read_end, verdict_on, write_facts
from machine.board import render_board
from machine.errors import EXIT_DONE, EXIT_FAILED, EXIT_UNREADABLE, EXIT_USAGE, Interrupted, MachineError
from machine.message import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.plan import Launch
    from deploy.supervision.place import ServicePlaces

BEYOND_S: Final = 15.0
"""How much longer than the broker waits for its nodes we wait for the broker's word."""
POLL_S: Final = 0.02
PROCESS_BYTES: Final = 320 << 10
"""A process's journal as it begins (devices/journal.py), and its first diagnostics."""
LOOK_S: Final = 0.2
"""Between two looks at what the processes have written."""
ASK_AGAIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Start:
    """What is to be started: `directory` is where relative paths start from."""

    launch: Launch
    facts: Facts
    directory: str
    import_path: str
    options: ServiceOptions


@dataclass(frozen=True, slots=True)
class Started:
    """How it went: the exit code, and why not."""

    exit_code: int
    detail: str


def start_machine(name: str, start: Start, say: Callable[[str], None]) -> Started:
    """Start the machine; when the guest does not come to run, everything is gone again.  MachineError, UsageError.

    `say` is told each line that a process writes, at once: one may want its user to do something first.
    """
    # Held back until whoever is interrupted clears away.
    with dying_as_interrupt(), held_back() as let_come:
        places = claim(name)
        try:
            let_come()
            started = _start(places, start, say)
        except BaseException as error:
            _clear(places)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(f"{name}: interrupted before its guest ran; nothing of it is left") from None
            raise
        if started.exit_code != EXIT_DONE:
            _clear(places)
    return started


def _start(places: ServicePlaces, start: Start, say: Callable[[str], None]) -> Started:
    _write(places, start)
    daemon.start(places)
    diagnostics = _Diagnostics(places, say)
    started = Started(*_await_run(places, start.options.wait_s + BEYOND_S, diagnostics.look))
    diagnostics.tell(to_the_end=True)
    return started


class _Diagnostics:
    """Tells what the processes write while they start."""

    def __init__(self, places: ServicePlaces, say: Callable[[str], None]) -> None:
        self._stream = Stream(places.logs)
        self._say = say
        self._look_at_s = 0.0

    def look(self) -> None:
        """Tell what is new, if it is time to look again."""
        if (now_s := time.monotonic()) >= self._look_at_s:
            self._look_at_s = now_s + LOOK_S
            self.tell()

    def tell(self, *, to_the_end: bool = False) -> None:
        """Tell what is new."""
        for line in self._stream.take(to_the_end=to_the_end):
            # What the listener has to say is how it ended, which its user is told anyway.
            if line.node != LISTENER:
                self._say(line.brief)


def _write(places: ServicePlaces, start: Start) -> None:
    processes = plan_service(start.launch, start.options)
    launch = start.launch
    go_on = str(launch.recording) if launch.go_on and launch.recording is not None else ""
    service = Service(
        places.name, processes, start.directory, import_path=start.import_path, go_on=go_on,
        awaits=launch.go_on and launch.recording is None,
    )  # fmt: skip
    try:
        places.machine.write_text(render_board(start.launch.board))
        places.configuration.write_text(render(service))
        write_facts(places, start.facts)
        _try_room(places, len(processes) * PROCESS_BYTES)
    except OSError as error:
        raise MachineError(f"{places.directory}: cannot write the machine: {error.strerror}") from error


def _try_room(places: ServicePlaces, size: int) -> None:
    """OSError now, and not from each process in its own words, if the host has no room for what they will keep."""
    trial = places.directory / "room"
    try:
        keep_room(trial, size)
    finally:
        trial.unlink(missing_ok=True)


def _await_run(places: ServicePlaces, timeout_s: float, look: Callable[[], None]) -> tuple[int, str]:
    """Exit code and detail, once the guest runs or it is known that it will not; `look` is called meanwhile."""
    control = reach(places)
    again_s = 0.0
    waiting_for = ""
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            end = read_end(places)
            if end is not None and (end["complete"] or end["state"] == RunState.ENDED.name):
                return _judge(end)
            if places.supervisor_pid() is None and not remains(places.directory):
                return EXIT_FAILED, daemon.ENDED_EARLY
            if time.monotonic() >= again_s:
                # Who was asked may have been killed, and another comes to the same place.
                again_s = time.monotonic() + ASK_AGAIN_S
                control.forget()
            status = control.heard()
            if status is not None and status.state is RunState.RUNNING:
                return EXIT_DONE, ""
            if status is not None and status.waiting_for:
                waiting_for = f"; it waits for {status.waiting_for}"
            if status is not None and status.state in TERMINAL_STATES:
                deadline = min(deadline, time.monotonic() + BEYOND_S)  # the listener writes it down
            look()
            control.wait(POLL_S)
    finally:
        control.close(0)
    return EXIT_FAILED, f"its guest did not run within {timeout_s:.0f} s{waiting_for}"


def _judge(end: dict[str, Any]) -> tuple[int, str]:
    """A guest that is done already is no failure, unless it says so."""
    if end["state"] == RunState.ENDED.name:
        return verdict_on(end)
    manners = list(end["exits"].values())
    for code in (EXIT_USAGE, EXIT_UNREADABLE):
        if f"ended with exit code {code}" in manners:
            return code, str(end["detail"])
    return EXIT_FAILED, str(end["detail"])


def _clear(places: ServicePlaces) -> None:
    with deaf():
        daemon.abandon(places)
        give_back(places)
