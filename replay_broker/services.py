"""What devices ask the broker for: the host's clock and entropy, or what the board says instead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from machine.codec import decode
from machine.icount import FIRST_DEVICE
from machine.message import ClockRead, ClockReading, Entropy, EntropyRead
from replay_broker.entropy import Entropies

if TYPE_CHECKING:
    from machine.board import Board
    from machine.frame import Frame

NS_PER_S: Final = 1_000_000_000


class Services:
    """Of one recording; `after` is the message that a branch begins behind."""

    def __init__(self, board: Board, after: int = 0) -> None:
        self._board = board
        self._entropy = Entropies(board, after)

    def answer(self, frame: Frame) -> ClockReading | Entropy:
        """What a device is told that has asked."""
        message = decode(frame.type, frame.payload)
        if isinstance(message, EntropyRead):
            return Entropy(self._entropy.read(frame.source, message.size))
        assert isinstance(message, ClockRead)
        return ClockReading(self._clock_ns(frame.source))

    def _clock_ns(self, node: int) -> int:
        """The host's clock, unless the board says that time stands still."""
        kind, _, seconds = self._board.devices[node - FIRST_DEVICE].backend.partition(":")
        if kind == "fixed":
            return int(seconds) * NS_PER_S
        return time.time_ns()
