"""Reads of guest memory by devices on other hosts, on their way to the CPU and back; one at a time is under way.

Lives here: what becomes of a question whose CPU, or whose device, has died.  Never here: the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.codec import type_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.frame import Frame

READ: Final = type_of(m.DmaRead)
RELAYED: Final = (READ, type_of(m.DmaData))


class Relay:
    """`send` hands a frame to its target; `note` hears of each."""

    def __init__(self, send: Callable[[Frame], None], note: Callable[[Frame], None]) -> None:
        self._send = send
        self._note = note
        self._asked: Frame | None = None

    def take(self, frame: Frame) -> None:
        """A question, or its answer."""
        self._asked = frame if frame.type == READ else None
        self._note(frame)
        self._send(frame)

    def forget(self, number: int) -> None:
        """A device's process has died: its successor asks anew."""
        if self._asked is not None and self._asked.source == number:
            self._asked = None

    def again(self) -> None:
        """Another process is the CPU, and as far as the one that was asked."""
        if self._asked is not None:
            self._send(self._asked)
