"""A replay of a search that counts the instructions it runs, forks for a look or a walk included."""

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
        self._asked: deque[Mapping[str, Any]] = deque([{"ready": True}])

    def send(self, **request: object) -> None:
        """Remember what was asked."""
        self._asked.append(request)
        super().send(**request)

    def take(self) -> Answer:
        """Count what it took."""
        stood = self.stands
        answer = super().take()
        request = self._asked.popleft()
        if "walk" in request:
            self.ran += max(0, max(int(row[0]) for row in answer["steps"]) - stood)
        elif "save" not in request and request.get("look", 0) is not None:
            self.ran += max(0, int(answer["icount"]) - stood)
        return answer

    def back(self, save: int) -> None:
        """What it has been asked for and not told counts as if it had been done."""
        for request in self._asked:
            self.ran += max(0, int(request.get("run_on", 0)) - self.stands)
        self._asked.clear()
        super().back(save)
