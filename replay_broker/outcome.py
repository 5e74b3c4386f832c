"""How a run ended, as the broker tells it."""

from __future__ import annotations

from dataclasses import dataclass

from machine.message import Fault, FaultCode, Message, PowerOffReason, RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run: `digest` of the whole run when it came to its end, `detail` when it did not."""

    state: RunState
    digest: bytes = b""
    detail: str = ""
    reason: PowerOffReason = PowerOffReason.OUTSIDE


def torn(name: str) -> Outcome:
    """A node speaks over a new connection."""
    detail = f"{name}'s connection was lost and made anew, and what was under way is lost"
    return Outcome(RunState.FAILED, detail=detail)


def of_fault(name: str, fault: Message) -> Outcome:
    """What a node's last word makes of the run; the user reads its name once."""
    assert isinstance(fault, Fault)
    if fault.code is FaultCode.DIVERGENCE:
        return Outcome(RunState.DIVERGED, detail=fault.detail)
    named = fault.detail.startswith((f"{name}: ", f"{name} "))
    return Outcome(RunState.FAILED, detail=fault.detail if named else f"{name}: {fault.detail}")
