"""The running machine as commands see it: what may be asked of it and what is heard of it.

Lives here: pausing, changing backends, input on its way, what has changed since the last look.
Never here: sockets, languages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from machine.message import HostInput, PowerOffReason, RunMode, RunState
from replay_broker.monitor.answer import NOT_FOUND, Answer, CommandError
from replay_broker.monitor.arguments import check_arguments
from replay_broker.monitor.hands import find_sinks
from replay_broker.session.record import RecordSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from machine.board import Board
    from replay_broker.monitor.command import Command
    from replay_broker.monitor.hands import Sink
    from replay_broker.outcome import Outcome
    from replay_broker.session.base import Session
    from replay_broker.snapshots.taker import Taker
    from replay_broker.travel import Travel

MOST_WAITING: Final = 1024
"""Inputs that may wait for the guest: a guest that stands still must not fill the broker."""
OVER: Final = "the run is over"
REPLAYS: Final = (RunMode.REPLAY_LOG, RunMode.REPLAY_LIVE)


class Host(Protocol):
    """What the broker's server does for its monitor."""

    @property
    def mode(self) -> RunMode:
        """What is done with the log."""

    @property
    def session(self) -> Session | None:
        """The run, once every node is ready."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, once it has."""

    @property
    def backends(self) -> dict[str, str]:
        """The backends that have been changed, by device."""

    @property
    def travel(self) -> Travel | None:
        """What goes to places of a replay."""

    @property
    def taker(self) -> Taker | None:
        """What takes snapshots."""

    def quit(self) -> None:
        """End the run."""

    def change_backend(self, node: str, word: str, done: Callable[[str], None]) -> None:
        """Put another backend behind a device; `done` hears why not, or ""."""


class Machine:
    """One machine and what the monitor knows of it beside what the server does."""

    def __init__(
        self, board: Board, recording: str, directory: Path | None, host: Host, commands: Mapping[str, Command]
    ) -> None:
        self.board = board
        self.recording = recording
        self.directory = directory
        """The running machine's own."""
        self.host = host
        self.commands = commands
        self.hear: Callable[[str, Mapping[str, object]], None] = _nobody
        """Whom to tell of events: their name and their data."""
        self.mouse_buttons = 0
        """What `mouse_button` has last made of the buttons."""
        self._starting: list[Callable[[], None]] = []
        self._pausing: list[Answer] = []
        self._was_paused = False
        self._was_over = False
        self._quit_asked = False
        self._resets = 0

    # What commands do.

    def execute(self, name: str, arguments: Mapping[str, object]) -> Answer:
        """Do one command of the table; what cannot be done is a refusal in the answer."""
        answer = Answer()
        try:
            command = self._find(name)
            given = check_arguments(arguments, command.arguments)
        except CommandError as error:
            answer.refuse(error)
            return answer
        if command.needs_run and self.host.session is None and self.host.outcome is None:
            self._starting.append(lambda: self._do(command, given, answer))
        else:
            self._do(command, given, answer)
        return answer

    @property
    def session(self) -> Session:
        """The run; CommandError when it has not begun or is over."""
        if self.host.outcome is not None:
            raise CommandError(OVER)
        if self.host.session is None:
            raise CommandError("the machine is still starting")
        return self.host.session

    @property
    def paused(self) -> bool:
        """Whether the guest stands still."""
        return self._held != ""

    @property
    def _held(self) -> str:
        """Who has it stand still, as QMP calls it, or ""; a replay that keeps its state is where it was meanwhile."""
        if self._keeps_at is not None:
            return "paused"
        return self.host.session.held if self.host.session is not None else ""

    @property
    def _keeps_at(self) -> int | None:
        return None if self.host.travel is None else self.host.travel.keeps_at

    @property
    def icount(self) -> int:
        """The guest's instructions, as last heard."""
        if self._keeps_at is not None:
            return self._keeps_at
        return self.host.session.icount if self.host.session is not None else 0

    def pause(self) -> Answer:
        """Have the guest stand still; answered when it does."""
        answer = Answer()
        if self.host.travel is not None:
            self.host.travel.interrupt()
        else:
            self.session.pause()
        self._pausing.append(answer)
        return answer

    def resume(self) -> None:
        """Have the guest go on."""
        if self.host.travel is not None:
            self.host.travel.resume()
        else:
            self.session.resume()
        # Who has had it stand still, and has not heard yet that it does, would wait for the next time.
        self._finish_pausing(lambda answer: answer.give({}))

    def reset(self) -> None:
        """Have the machine begin anew, at its next sync point."""
        session = self.session
        assert isinstance(session, RecordSession), "a command that is guest-visible is refused in a replay"
        session.reset()

    def quit(self) -> None:
        """End the run."""
        if self.host.outcome is None:
            self._quit_asked = True
            self.host.quit()

    def change_backend(self, node: str, word: str) -> Answer:
        """Put another backend behind a device; answered when its process has."""
        answer = Answer()

        def done(error: str) -> None:
            if error:
                answer.refuse(CommandError(error))
            else:
                answer.give({})

        self.host.change_backend(node, word, done)
        return answer

    @property
    def words(self) -> dict[str, str]:
        """Each device's backend, as it is now."""
        if self.host.mode is RunMode.REPLAY_LOG:
            # What the recording's devices had: here there are none.
            return {slot.name: "" for slot in self.board.devices}
        return self.board.backends | self.host.backends

    def sinks(self) -> list[Sink]:
        """The machine's input devices."""
        return find_sinks(self.board, self.words)

    def send(self, inputs: Sequence[tuple[int, HostInput]], *, in_turn: bool = False) -> None:
        """Bring inputs to nodes by number, recorded like any other; CommandError when too many wait already.

        `in_turn`: the delay of each counts from the one before it that was sent so.
        """
        session = self.session
        assert isinstance(session, RecordSession), "a command that is guest-visible is refused in a replay"
        if session.waiting_inputs + len(inputs) > MOST_WAITING:
            raise CommandError(f"{session.waiting_inputs} inputs wait for the guest already")
        for node, message in inputs:
            session.submit(node, message, in_turn=in_turn)

    # What has changed.

    def notice(self) -> None:
        """Look whether the machine has started, stopped, gone on or ended since the last look."""
        if self.host.travel is not None:
            self.host.travel.hear = self.hear
        if self._starting and (self.host.session is not None or self.host.outcome is not None):
            starting, self._starting = self._starting, []
            for do in starting:
                do()
        if self.host.outcome is not None:
            self._notice_end(self.host.outcome)
            return
        self._notice_resets()
        paused = self.paused
        if paused != self._was_paused:
            self._was_paused = paused
            self.hear("STOP" if paused else "RESUME", {})
        if paused and self._pausing:
            self._finish_pausing(lambda answer: answer.give({}))

    def state(self) -> str:
        """QMP's RunState."""
        outcome = self.host.outcome
        if outcome is not None:
            failed = outcome.state in (RunState.FAILED, RunState.DIVERGED)
            return "internal-error" if failed else "shutdown"
        if self.host.session is None:
            return "prelaunch"
        return self._held or "running"

    def refuse_in_replay(self, name: str) -> None:
        """CommandError, for what the guest would see, when what it sees has been recorded already."""
        if self.host.mode in REPLAYS:
            raise CommandError(f"{name}: this is a replay; what reaches the guest is what was recorded")

    def _find(self, name: str) -> Command:
        command = self.commands.get(name)
        if command is None:
            raise CommandError(f"The command {name} has not been found", NOT_FOUND)
        if command.guest_visible:
            self.refuse_in_replay(name)
        return command

    def _notice_resets(self) -> None:
        session = self.host.session
        if session is None or session.resets == self._resets:
            return
        # A replay that has gone back has fewer; the first ones that it comes to again are told again.
        for _ in range(session.resets - self._resets):
            reason = "guest-reset" if session.reset_by_guest else "host-qmp-system-reset"
            self.hear("RESET", {"guest": session.reset_by_guest, "reason": reason})
        self._resets = session.resets

    def _notice_end(self, outcome: Outcome) -> None:
        if self._was_over:
            return
        self._was_over = True
        self._finish_pausing(lambda answer: answer.refuse(CommandError(OVER)))
        reason = _CAUSES.get(outcome.reason, "host-qmp-quit" if self._quit_asked else "host-signal")
        if outcome.state in (RunState.FAILED, RunState.DIVERGED):
            reason = "host-error"
        self.hear("SHUTDOWN", {"guest": reason.startswith("guest-"), "reason": reason})

    def _finish_pausing(self, finish: Callable[[Answer], None]) -> None:
        pausing, self._pausing = self._pausing, []
        for answer in pausing:
            finish(answer)

    def _do(self, command: Command, given: Mapping[str, object], answer: Answer) -> None:
        try:
            value = command.run(self, given)
        except CommandError as error:
            answer.refuse(error)
            return
        if isinstance(value, Answer):
            value.then(lambda inner: _pass_on(inner, answer))
        else:
            answer.give({} if value is None else value)


_CAUSES: Final = {
    PowerOffReason.SHUTDOWN: "guest-shutdown",
    PowerOffReason.REBOOT: "guest-reset",
    PowerOffReason.FAILURE: "guest-panic",
}
"""QMP's ShutdownCause of an end by the guest."""


def _pass_on(inner: Answer, outer: Answer) -> None:
    try:
        outer.give(inner.value())
    except CommandError as error:
        outer.refuse(error)


def _nobody(_name: str, _data: Mapping[str, object]) -> None:
    pass
