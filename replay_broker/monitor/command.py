"""The shape of a row in the table of commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from replay_broker.monitor.arguments import Argument
    from replay_broker.monitor.machine import Machine


@dataclass(frozen=True, slots=True)
class Command:
    """One QMP command.

    `run(machine, arguments)` returns its value, None for an empty one, or an Answer when that is still to come; it
    raises CommandError.  `needs_run`: it waits for a machine that is starting.  `guest_visible`: it enters the run as
    a recorded input, and a replay refuses it.
    """

    run: Callable[[Machine, Mapping[str, Any]], object]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    needs_run: bool = False
    guest_visible: bool = False
