"""The user's terminal: who has it during a run, and that it is as before afterwards."""

from __future__ import annotations

import sys
import termios
from typing import TYPE_CHECKING, Self

from deploy.plan import uses_terminal

if TYPE_CHECKING:
    from machine.board import Board


def is_owned(board: Board) -> bool:
    """Whether a device of the board talks to a terminal on our standard input or output."""
    uses = any(uses_terminal(slot.backend) for slot in board.devices)
    return uses and (sys.stdin.isatty() or sys.stdout.isatty())


class KeptTerminal:
    """Restores the terminal's settings: a device that was killed cannot do it itself."""

    def __init__(self, *, owned: bool) -> None:
        self._owned = owned
        self._settings: list[object] | None = None

    def __enter__(self) -> Self:
        # A run in the background must not touch the terminal: it would be stopped for it.
        if self._owned and sys.stdin.isatty():
            self._settings = termios.tcgetattr(sys.stdin.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def restore(self) -> None:
        """As it was."""
        if self._settings is not None:
            try:
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._settings)  # type: ignore[arg-type]
            except termios.error:
                # The terminal has gone, and its settings with it.
                return
