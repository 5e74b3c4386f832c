"""How a machine ended: what end.json holds of it.

Lives here: what is said.  Never here: who writes it (listener.py), what it comes to (report.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine.message import Status


@dataclass(slots=True)
class End:
    """How a machine ended, as end.json keeps it."""

    state: str
    icount: int = 0
    messages: int = 0
    inputs: int = 0
    digest: str = ""
    detail: str = ""
    power_off_reason: int = 0
    complete: bool = False
    """The broker has gone: nothing more will be known."""
    exits: dict[str, str] = field(default_factory=dict)
    """By process that did not end in order: what became of it."""
    started_ns: int = 0
    """Of which start of supervisor it is the end (ServicePlaces)."""


def end_of(status: Status) -> End:
    """What the broker tells of it."""
    return End(
        status.state.name, status.icount, status.messages, status.inputs, status.digest.hex(), status.detail,
        int(status.power_off_reason),
    )  # fmt: skip
