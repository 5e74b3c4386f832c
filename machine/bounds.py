"""Which values a field of saved state has: numbers from one to another, rows and bytes of some length.

They stand in the field's type: `Annotated[int, Within(0, 7)]`.  For type checkers that is an int; who loads a state
refuses what is not within (machine/vmstate.py), so that no node meets a value it could not have come to by itself.
"""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Annotated, Protocol


class Bound(Protocol):
    """What a value has to fulfil."""

    def refusal(self, value: object) -> str:
        """Why it does not, or ""."""


@dataclass(frozen=True, slots=True)
class Within:
    """A number, at least this and at most that; None is without end."""

    least: int = 0
    most: int | None = None

    def refusal(self, value: object) -> str:
        """See Bound."""
        assert isinstance(value, int)
        if value >= self.least and (self.most is None or value <= self.most):
            return ""
        return f"{value} is not {self.least} " + ("or more" if self.most is None else f"to {self.most}")


@dataclass(frozen=True, slots=True)
class Long:
    """A row or bytes, so long at least and at most, None without end; in units of so many."""

    least: int = 0
    most: int | None = None
    unit: int = 1

    def refusal(self, value: object) -> str:
        """See Bound."""
        assert isinstance(value, Sized)
        size = len(value)
        if size < self.least or (self.most is not None and size > self.most):
            return f"a length of {size} is not {self.least} " + ("or more" if self.most is None else f"to {self.most}")
        return f"a length of {size} is not a multiple of {self.unit}" if size % self.unit else ""


Count = Annotated[int, Within()]
U8 = Annotated[int, Within(0, (1 << 8) - 1)]
U16 = Annotated[int, Within(0, (1 << 16) - 1)]
U32 = Annotated[int, Within(0, (1 << 32) - 1)]
U64 = Annotated[int, Within(0, (1 << 64) - 1)]
