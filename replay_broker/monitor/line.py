"""The shape of a row in the line mode's table, and what its words are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from replay_broker.monitor.answer import CommandError

if TYPE_CHECKING:
    from replay_broker.monitor.answer import Answer
    from replay_broker.monitor.machine import Machine

NEWLINE: Final = "\r\n"
"""QEMU's; a terminal that is raw needs both."""


@dataclass(frozen=True, slots=True)
class Line:
    """One command of the line mode: how it is written, what it does, how many words follow it."""

    form: str
    summary: str
    run: Callable[[Machine, Sequence[str]], str | Answer]
    words: tuple[int, int] = (0, 0)
    guest_visible: bool = False


def number(text: str) -> int:
    """A number as it is typed, decimal or with 0x; CommandError if it is none."""
    try:
        return int(text, 0)
    except ValueError as error:
        raise CommandError(f"invalid number: {text}") from error
