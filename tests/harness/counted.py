"""A replay of a search that counts the instructions it runs, forks for a look included."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from deploy.bisection.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deploy.bisection.runner import Answer
    from machine.board import Board


class CountedRunner(Runner):
    """`ran`: instructions that were executed for its requests so far."""

    def __init__(self, recording: Path, board: Board, perturbation: Mapping[str, int]) -> None:
        super().__init__(recording, board, perturbation)
        self.ran = 0
        self._stands = 0
        self._saved: list[int] = []
        self._asked: deque[Mapping[str, Any]] = deque([{"ready": True}])

    def send(self, **request: object) -> None:
        """Remember what was asked."""
        self._asked.append(request)
        super().send(**request)

    def take(self) -> Answer:
        """Count what it took."""
        answer = super().take()
        request = self._asked.popleft()
        if "run_on" in request:
            self.ran += max(0, answer["icount"] - self._stands)
            self._stands = answer["icount"]
        elif request.get("look") is not None:
            self.ran += max(0, answer["icount"] - self._stands)
        elif "save" in request:
            self._saved.append(self._stands)
        elif "restore" in request:
            self._stands = self._saved.pop()
        return answer
