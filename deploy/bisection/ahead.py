"""A replay that runs on while somebody else finds out which instruction is wanted.

Theory of operation.  It runs a stretch at a time and saves itself in front of each, so wherever the place turns out to
be, it lies at most one stretch behind something saved.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from deploy.bisection.search import PACE
from machine.errors import MachineError

if TYPE_CHECKING:
    from deploy.bisection.runner import Answer, Runner
    from deploy.bisection.search import Pace


class Ahead:
    """A runner, and the thread that waits for it.  Who asks it for something has stopped the thread."""

    def __init__(self, runner: Runner, end: int, pace: Pace = PACE) -> None:
        self._runner = runner
        self._end, self._pace = end, pace
        self._stands = int(runner.take()["icount"])
        self._saved: list[int] = []
        self._enough = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to run."""
        self._thread = Thread(target=self._run, name="ahead")
        self._thread.start()

    def stop(self) -> None:
        """Wait until it stands still; at most a stretch."""
        self._enough.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self, icount: int) -> Answer:
        """The machine at an instruction, from the nearest place in front of it."""
        self.stop()
        while self._stands >= icount and self._saved:
            self._runner.back(len(self._saved) - 1)
            self._stands = self._saved.pop()
        return self._runner.ask(look=icount)

    def _run(self) -> None:
        stretch = self._pace.stretch(self._stands, self._end)
        # A replay that has gone says so to whoever looks.
        with suppress(MachineError):
            while self._stands < self._end and not self._enough.is_set():
                self._runner.ask(save=True)
                self._saved.append(self._stands)
                # Where it cannot go on it is as good as behind the end.
                answer = self._runner.ask(run_on=self._stands + stretch)
                self._stands = int(answer["icount"]) if answer["more"] else self._end
