"""How a run ended, as the broker tells it."""

from __future__ import annotations

from dataclasses import dataclass

from machine.message import Fault, FaultCode, PowerOffReason, RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run: `digest` of the whole run when it came to its end, `detail` when it did not."""

    state: RunState
    digest: bytes = b""
    detail: str = ""
    reason: PowerOffReason = PowerOffReason.OUTSIDE


def of_fault(name: str, fault: Fault) -> Outcome:
    """What a node's last word makes of the run; the user reads its name once."""
    if fault.code is FaultCode.DIVERGENCE:
        return Outcome(RunState.DIVERGED, detail=fault.detail)
    prefix = f"{name}: "
    return Outcome(RunState.FAILED, detail=prefix + fault.detail.removeprefix(prefix))
