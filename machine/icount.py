"""The guest's instruction counter and the stamp made of it; the only time there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

Icount = NewType("Icount", int)
"""Instructions the guest has retired since power-on."""

Seq = NewType("Seq", int)
"""Position in the broker's total order, from 1; 0 means not stamped yet."""

Nanoseconds = NewType("Nanoseconds", int)
"""A span or a point of virtual time."""

NodeNumber = NewType("NodeNumber", int)
"""A node's number in every header: 0 the broker, 1 the CPU, devices follow in board order."""

BROKER = NodeNumber(0)
CPU = NodeNumber(1)
FIRST_DEVICE = NodeNumber(2)


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """When a message holds: no two messages of a run share one."""

    icount: Icount
    seq: Seq

    def __str__(self) -> str:
        return f"{self.icount}/{self.seq}"
