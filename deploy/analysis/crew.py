"""Processes of this host that replay parts: one that forks for each, up before the parts are known.

Lives here: starting it, asking it.  Never here: what a part is (cpu_node/timeline/), who else could work (spread.py).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from deploy.environment import import_path
from machine.errors import MachineError, told_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import TextIO

    from deploy.analysis.work import Task

    Answers = Callable[[], list[dict[str, Any]]]
    """Waits for what becomes of parts that have been begun; in their order."""


class Crew:
    """To be made as early as possible: it comes up while its user goes on."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cpu_node.timeline.parts"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": import_path()},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._orders.close()
        if error is not None:
            # What still replays ends with it.
            self._process.terminate()
        self._process.wait()

    @contextmanager
    def at_work(self, tasks: Sequence[Task]) -> Iterator[Answers]:
        """Parts that are replayed side by side from now on.  MachineError if one cannot be."""
        with ExitStack() as stack:
            pipes = [stack.enter_context(self._order(task)) for task in tasks]
            yield lambda: [_answer(task, pipe.read()) for task, pipe in zip(tasks, pipes, strict=True)]

    def _order(self, task: Task) -> TextIO:
        """Have a part replayed; where its answer comes out."""
        segment = task.segment
        order = {
            "recording": task.recording,
            "board": task.board,
            "first": segment.first,
            "last": segment.last,
            "analysis": task.analysis,
        }
        ours, theirs = os.pipe()
        try:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs])
        except OSError as error:
            os.close(ours)
            raise MachineError(f"{_where(task)}: nobody is there to replay them: {error.strerror}") from error
        finally:
            os.close(theirs)
        return open(ours, encoding="utf-8")


def _answer(task: Task, said: str) -> dict[str, Any]:
    if not said:
        raise MachineError(f"{_where(task)}: the process that replayed them has died")
    found: dict[str, Any] = json.loads(said)
    if "failed" in found:
        raise told_as(found["exit_code"], f"{_where(task)}: {found['failed']}")
    return found


def _where(task: Task) -> str:
    return f"instructions {task.segment.start_icount:,} to {task.segment.end_icount:,}"
