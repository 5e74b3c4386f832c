"""How a run ended, as the broker tells it."""

from __future__ import annotations

from dataclasses import dataclass

from machine.message import PowerOffReason, RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run: `digest` of the whole run when it came to its end, `detail` when it did not."""

    state: RunState
    digest: bytes = b""
    detail: str = ""
    reason: PowerOffReason = PowerOffReason.OUTSIDE
