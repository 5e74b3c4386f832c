"""Processes of this host that replay parts: one that forks for each, up before the parts are known.

Lives here: starting it, asking it.  Never here: what a part is (cpu_node/timeline/), who else could work (spread.py).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

from deploy.environment import import_path
from machine.errors import MachineError

if TYPE_CHECKING:
    from types import TracebackType

    from deploy.analysis.work import Task


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

    def work(self, task: Task) -> dict[str, Any]:
        """Replay a part, waiting for it; from any thread.  MachineError if it could not be replayed."""
        segment = task.segment
        order = {
            "recording": task.recording,
            "board": task.board,
            "first": segment.first,
            "last": segment.last,
            "analysis": task.analysis,
        }
        ours, theirs = os.pipe()
        with open(ours, encoding="utf-8") as pipe:
            try:
                socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs])
                os.close(theirs)
                said = pipe.read()
            except OSError as error:
                raise MachineError(f"{_where(task)}: nobody is there to replay them: {error.strerror}") from error
        if not said:
            raise MachineError(f"{_where(task)}: the process that replayed them has died")
        found: dict[str, Any] = json.loads(said)
        if "failed" in found:
            raise MachineError(f"{_where(task)}: {found['failed']}")
        return found


def _where(task: Task) -> str:
    return f"instructions {task.segment.start_icount:,} to {task.segment.end_icount:,}"
