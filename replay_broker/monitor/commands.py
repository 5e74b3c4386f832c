"""Every QMP command there is, in one table; a new command is a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from replay_broker.monitor.arguments import Argument
from replay_broker.monitor.chardevs import CHARDEVS
from replay_broker.monitor.command import Command
from replay_broker.monitor.control import CONTROL
from replay_broker.monitor.input import INPUT
from replay_broker.monitor.lines import run_line
from replay_broker.monitor.travel import TRAVEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replay_broker.monitor.answer import Answer
    from replay_broker.monitor.machine import Machine


def _human(machine: Machine, given: Mapping[str, Any]) -> Answer:
    """QMP's human-monitor-command: a line of the line mode, and what it would print."""
    return run_line(machine, given["command-line"])


COMMANDS: Final[Mapping[str, Command]] = {
    **CONTROL,
    **INPUT,
    **CHARDEVS,
    **TRAVEL,
    "human-monitor-command": Command(
        _human, {"command-line": Argument("string"), "cpu-index": Argument("integer", optional=True)}
    ),
}
"""QMP's name -> command."""
