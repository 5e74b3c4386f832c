"""What the broker itself remembers of a run that it records."""

from __future__ import annotations

from dataclasses import dataclass

from machine.vmstate import vmstate


@vmstate("pending-input", 1)
@dataclass(slots=True)
class PendingInput:
    """An input that waits for its sync point: for which node, from which virtual time on, its payload."""

    target: int
    due_ns: int
    payload: bytes


@vmstate("broker", 1)
@dataclass(slots=True)
class BrokerState:
    """Counters come from the log; this is what is not in it: virtual time slept, inputs that wait."""

    idle_ns: int = 0
    pending: tuple[PendingInput, ...] = ()
