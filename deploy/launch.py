"""One run from start to end: start the processes, watch them, end them.

Lives here: the launcher's one loop.
Never here: what a process does; what an end means (outcome.py).
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from deploy.children import Child, Children
from deploy.environment import runtime_directory
from deploy.host_signals import EndingSignals
from deploy.outcome import TERMINAL_STATES, Death, Outcome, judge, judge_death, manner_of
from deploy.plan import BROKER, Launch, Places, ProcessPlan, plan_processes
from deploy.progress import Progress, Screen
from deploy.scratch import put_file, scratch
from deploy.terminal import KeptTerminal, is_owned
from machine.board import render_board
from machine.errors import EXIT_FAILED, MachineError
from machine.fdstore import FdStore
from machine.message import RunMode, RunState, Status
from machine.recording.continuation import note_death

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.control import Control

POLL_S: Final = 1.0
"""Between two questions to the broker; it tells the end unasked."""

MOURNING_POLL_S: Final = 0.2
"""The same when a process has ended and the broker may know why."""

START_POLL_S: Final = 0.02
"""Between two looks whether the broker listens."""

GRACE_S: Final = 3.0
"""How long the broker may take to say why a process has ended."""

SILENT_S: Final = 20.0
"""The same where it has not answered anything since: it is starting, or waits for the host's disk."""

LAST_WORD_S: Final = 0.3
"""How long what the broker said before it ended itself may be on its way."""

QUIT_S: Final = 15.0
"""How long a run may take to end after it was asked to."""

LEAVE_S: Final = 15.0
"""How long processes may take to leave after an orderly end; the broker closes the log in it."""

ABANDON_S: Final = 0.5
"""The same when the run has come apart."""


def launch(
    run: Launch,
    plan: Callable[[Launch, Places], tuple[ProcessPlan, ...]] = plan_processes,
    revive: Callable[[Launch, Callable[[str], None]], None] | None = None,
) -> Outcome:
    """Run a machine to its end and tell how it ended, on standard error too.

    Every process is gone and the running machine's directory removed when this returns or raises.
    MachineError if the host cannot start a process.  `revive`: when the broker of a run that goes on is killed it takes
    the machine back, and may say a line; MachineError, if there is no way back.
    """
    owned = is_owned(run.board)
    screen = Screen(sys.stderr, owned=owned)
    with _places(run) as (places, keeper), KeptTerminal(owned=owned) as terminal, EndingSignals() as signals:
        live = partial(_lived, run, places, keeper, signals, screen)
        fdstore = FdStore(places.directory)
        try:
            outcome = live(plan(run, places), fdstore)
            while run.go_on and revive is not None and outcome.broker_killed and not signals.drain():
                terminal.restore()
                revive(run, screen.line)
                note_death(places.directory, os.getpid())
                outcome = live(plan(run, places), fdstore)
        finally:
            fdstore.close()
    return outcome


def _lived(
    run: Launch, places: Places, keeper: int, signals: EndingSignals, screen: Screen,
    plans: tuple[ProcessPlan, ...], fdstore: FdStore,
) -> Outcome:  # fmt: skip
    """Start the processes and watch them to their end; none is left."""
    children = Children(screen.line, places.directory, keeper)
    patience_s = ABANDON_S
    try:
        for process in plans:
            children.start(process)
        outcome = _watched(run, places, children, signals, screen, fdstore)
        patience_s = LEAVE_S if outcome.status.state in TERMINAL_STATES else ABANDON_S
        if outcome.broker_killed:
            # Nobody else tells them.  A journal, a connection that one closes in order its successor would not find.
            children.kill()
    except OSError as error:
        raise MachineError(f"cannot start the machine's processes: {error}") from error
    finally:
        screen.clear()
        children.end(patience_s)
    # Only now have all processes told how they ended.
    if outcome.status.state in TERMINAL_STATES:
        exit_codes = {child.name: child.exit_code or 0 for child in children.all}
        outcome = judge(run.mode, outcome.status, exit_codes, outcome.seconds)
    return outcome


def _watched(
    run: Launch, places: Places, children: Children, signals: EndingSignals, screen: Screen, fdstore: FdStore
) -> Outcome:
    """Watch the started processes to the run's end, and say goodbye to the broker."""
    # Imported here: the processes have started and take as long to do the same.
    from deploy.control import Control  # noqa: PLC0415

    control = Control(places)
    watch = _Watch(run, children, control, signals, screen, fdstore)
    try:
        return watch.until_the_end()
    finally:
        watch.say_goodbye()
        children.hear_only_children()
        control.close()


@contextmanager
def _places(run: Launch) -> Iterator[tuple[Places, int]]:
    """The running machine's own directory, for as long as it runs, and the descriptor that keeps it."""
    with scratch(runtime_directory()) as (directory, keeper):
        places = Places(directory)
        put_file(places.machine, render_board(run.board))
        yield places, keeper


class _Watch:
    """Looks after a started machine until it has ended or come apart."""

    def __init__(
        self,
        run: Launch,
        children: Children,
        control: Control,
        signals: EndingSignals,
        screen: Screen,
        fdstore: FdStore,
    ) -> None:
        self._run = run
        self._children = children
        self._control = control
        self._signals = signals
        self._screen = screen
        self._fdstore = fdstore
        self._progress = Progress(run.end_icount)
        self._status = Status(RunState.STARTING)
        self._started_s = time.monotonic()
        self._ask_at_s = 0.0
        self._asked_s = 0.0
        self._known_s = 0.0
        """The broker has answered a question of then."""
        self._noticed: dict[str, float] = {}
        self._quit_at_s: float | None = None
        children.also_wake_on(control.wake_fd)
        children.also_wake_on(signals.fd)
        children.also_wake_on(fdstore.fd)

    def until_the_end(self) -> Outcome:
        """Watch; the outcome as far as it is known while processes still live."""
        while True:
            if (outcome := self._step()) is not None:
                killed = self._status.state not in TERMINAL_STATES and self._broker_was_killed()
                return replace(outcome, seconds=self._now_s(), broker_killed=killed)
            now_s = self._now_s()
            self._children.wait((self._ask_at_s if self._control.listening else now_s + START_POLL_S) - now_s)

    def say_goodbye(self) -> None:
        """Tell the broker, if it is there, that nobody waits for more."""
        if self._broker_lives():
            self._control.quit()
            self._control.latest()

    def _now_s(self) -> float:
        return time.monotonic() - self._started_s

    def _broker_lives(self) -> bool:
        return any(child.name == BROKER and child.exit_code is None for child in self._children.all)

    def _broker_was_killed(self) -> bool:
        return any(child.name == BROKER and (child.exit_code or 0) < 0 for child in self._children.all)

    def _step(self) -> Outcome | None:
        # The order matters: a process that is found dead here has said its last word before the answer is read.
        self._fdstore.serve()
        dead = self._children.dead()
        stop = self._heed_signals()
        self._hear()
        if self._status.state in TERMINAL_STATES:
            return Outcome(self._status, EXIT_FAILED)
        return stop or self._mourn([child for child in dead if not self._replace(child)])

    def _replace(self, child: Child) -> bool:
        """Start another process for one that was killed in the middle of a recording; what it is to do the broker says.

        One that has ended by itself has told the broker why.
        """
        rebuilds = self._run.rebuild and self._run.mode is RunMode.RECORD and self._status.state is RunState.RUNNING
        if not rebuilds or child.name == BROKER or (child.exit_code or 0) >= 0:
            return False
        self._noticed.pop(child.name, None)
        self._screen.line(f"{child.name}, process {child.process.pid}, {manner_of(child.exit_code or 0)}")
        self._children.restart(child)
        return True

    def _hear(self) -> None:
        now_s = self._now_s()
        if now_s >= self._ask_at_s and self._control.listening and self._broker_lives():
            if self._control.ask():
                self._asked_s = now_s
            self._ask_at_s = now_s + (MOURNING_POLL_S if self._noticed else POLL_S)
        if (status := self._control.latest()) is not None:
            self._status, self._known_s = status, self._asked_s
            if status.state is RunState.RUNNING:
                self._screen.progress(now_s, self._progress.text(now_s, status.icount))

    def _heed_signals(self) -> Outcome | None:
        """Pass the first signal on as Quit; the second, or a Quit that is not obeyed, ends the run by force."""
        count = self._signals.drain()
        if count and self._quit_at_s is None:
            self._quit_at_s = self._now_s()
            self._control.quit()
        if count > 1:
            return Outcome(self._status, EXIT_FAILED, ("ended by force",))
        if self._quit_at_s is not None and self._now_s() - self._quit_at_s > QUIT_S:
            return Outcome(self._status, EXIT_FAILED, (f"the run did not end within {QUIT_S:.0f} s; ended by force",))
        return None

    def _mourn(self, dead: list[Child]) -> Outcome | None:
        """What a process's death means, once the broker has had time to say it; None while there is time left."""
        now_s = self._now_s()
        for child in dead:
            if child.name not in self._noticed:
                self._noticed[child.name] = now_s
                self._ask_at_s = now_s
        if not dead:
            return None
        # Whoever failed is to be named, not one that left because of it.
        first = min(dead, key=lambda child: (child.exit_code == 0, self._noticed[child.name]))
        noticed_s = self._noticed[first.name]
        until_s = noticed_s + (GRACE_S if self._known_s >= noticed_s else SILENT_S)
        if BROKER in self._noticed:
            until_s = self._noticed[BROKER] + LAST_WORD_S
        if now_s < until_s:
            return None
        death = Death(first.name, first.exit_code or 0, first.last_line)
        return judge_death(death, self._status, now_s)
