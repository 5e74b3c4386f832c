"""What the broker itself remembers of a run that it records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from machine.bounds import Count
from machine.vmstate import encode, vmstate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from machine.frame import Frame


@vmstate("pending-input", 1)
@dataclass(slots=True)
class PendingInput:
    """An input that waits for its sync point: for which node, from which virtual time on, its payload."""

    target: Count
    due_ns: Count
    payload: bytes


@vmstate("broker", 1)
@dataclass(slots=True)
class BrokerState:
    """Counters come from the log; this is what is not in it: virtual time slept, inputs that wait."""

    idle_ns: Count = 0
    pending: tuple[PendingInput, ...] = ()


def broker_state(idle_ns: int, pending: Iterable[tuple[Frame, int]]) -> bytes:
    """The canonical bytes of it; `pending`: inputs that wait, with their earliest times."""
    rows = (PendingInput(frame.target, due_ns, frame.payload) for frame, due_ns in pending)
    return encode(BrokerState(idle_ns, tuple(rows)))
