"""What a run came to: exit code and words, from the broker's last status and the processes' exit codes; pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.plan import BROKER
from machine.errors import EXIT_DIVERGED, EXIT_DONE, EXIT_FAILED, EXIT_MISTOLD, EXIT_UNREADABLE, EXIT_USAGE
from machine.message import PowerOffReason, RunMode, RunState, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

TERMINAL_STATES: Final = frozenset({RunState.ENDED, RunState.STOPPED, RunState.DIVERGED, RunState.FAILED})
REPLAYS: Final = frozenset({RunMode.REPLAY_LOG, RunMode.REPLAY_LIVE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the broker's last word, our exit code, and lines for standard error."""

    status: Status
    exit_code: int
    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    broker_killed: bool = False
    """A signal has ended the broker, and nobody had asked for the end."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended before the run did; `exit_code` is negative for a signal."""

    name: str
    exit_code: int
    last_line: str


def judge(mode: RunMode, status: Status, exit_codes: Mapping[str, int], seconds: float) -> Outcome:
    """The outcome of a run whose broker came to a terminal state; `exit_codes` are those of all processes."""
    lines: list[str] = []
    code = EXIT_DONE
    match status.state:
        case RunState.ENDED if mode in REPLAYS:
            pass
        case RunState.ENDED:
            code, lines = judge_power_off(status.power_off_reason)
        case RunState.STOPPED:
            lines = [status.detail] if status.detail else []
        case RunState.DIVERGED:
            code, lines = EXIT_DIVERGED, [status.detail or "the replay is not what was recorded"]
        case _:
            code, lines = _failure_code(mode, exit_codes), [status.detail or "the run failed"]
    return Outcome(status, code, tuple(lines), seconds)


def judge_death(death: Death, status: Status, seconds: float) -> Outcome:
    """The outcome of a run of which a process ended and the broker has not told why."""
    text = f"{death.name} {manner_of(death.exit_code)}"
    if death.last_line:
        text += f"; its last line: {death.last_line}"
    known = death.exit_code in (EXIT_USAGE, EXIT_DIVERGED, EXIT_UNREADABLE)
    return Outcome(status, death.exit_code if known else EXIT_FAILED, (text,), seconds)


def judge_power_off(reason: PowerOffReason) -> tuple[int, list[str]]:
    """The exit code of a run that the guest has ended, and what is told of it."""
    match reason:
        case PowerOffReason.FAILURE:
            return EXIT_FAILED, ["the guest switched off and said that it had failed"]
        case PowerOffReason.REBOOT:
            return EXIT_DONE, ["the guest asked for a restart, and --no-reboot ends the run with it"]
        case _:
            return EXIT_DONE, []


def _failure_code(mode: RunMode, exit_codes: Mapping[str, int]) -> int:
    """2 if a node could not be set up, 4 if the recording is what nobody can follow, else 1."""
    if EXIT_USAGE in exit_codes.values():
        return EXIT_USAGE
    if exit_codes.get(BROKER) == EXIT_UNREADABLE:
        return EXIT_UNREADABLE
    # Whatever a node is told in a replay, or whatever follows from it, is the recording's.
    if mode in REPLAYS and EXIT_MISTOLD in exit_codes.values():
        return EXIT_UNREADABLE
    return EXIT_FAILED


def manner_of(exit_code: int) -> str:
    """How a process has ended; `exit_code` is negative for a signal."""
    if exit_code >= 0:
        return f"ended with exit code {exit_code} in the middle of the run"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        return f"was killed by signal {-exit_code}"
    # mmap(2): what our processes map is as long as they take it to be.
    return f"was killed by {name}" + (": the host had no room for a page of memory" if name == "SIGBUS" else "")
