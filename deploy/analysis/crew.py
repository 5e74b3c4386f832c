"""Processes of this host that replay parts: one that forks for each, up before the parts are known.

Lives here: starting it, asking it.  Never here: what a part is (cpu_node/timeline/), who else could work (spread.py).
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from deploy.environment import import_path
from machine.errors import MachineError, told_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from io import FileIO
    from types import TracebackType

    from deploy.analysis.work import Task

    Answers = Callable[[], list[dict[str, Any]]]
    """Waits for what becomes of parts that have been begun; in their order, up to the first that settles it."""

READ_BYTES: Final = 1 << 16
SETTLING: Final = frozenset(("divergence", "damaged", "failed"))
"""What says, in an answer, that those of the parts behind it do not count."""


class Crew:
    """To be made as early as possible: it comes up while its user goes on."""

    def __init__(self) -> None:
        self._idle = True
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
        if error is not None or not self._idle:
            # What still replays ends with it.
            self._process.terminate()
        self._process.wait()

    @contextmanager
    def at_work(
        self, tasks: Sequence[Task], at_a_time: int, tell: Callable[[int], None] = lambda _: None
    ) -> Iterator[Answers]:
        """Parts that are replayed side by side from now on, so many at a time.  MachineError if one cannot be.

        `tell` hears, while their answers are waited for, how many instructions all of them have run.
        """
        self._idle = False
        with ExitStack() as stack:
            pipes = [stack.enter_context(self._order(task, at_a_time)) for task in tasks]
            yield lambda: self._answers(tasks, pipes, tell)

    def _answers(
        self, tasks: Sequence[Task], pipes: Sequence[FileIO], tell: Callable[[int], None]
    ) -> list[dict[str, Any]]:
        """All of them are read as they come: a part that is not read keeps the guest's memory."""
        answers: dict[int, dict[str, Any]] = {}
        said = [bytearray() for _ in pipes]
        run = [0] * len(pipes)
        with selectors.DefaultSelector() as selector:
            for number, pipe in enumerate(pipes):
                selector.register(pipe, selectors.EVENT_READ, number)
            while selector.get_map():
                for key, _ in selector.select():
                    if data := os.read(key.fd, READ_BYTES):
                        said[key.data] += data
                        if b"\n" in data:
                            icount = _take_word(said[key.data])
                            run[key.data] = icount - tasks[key.data].segment.start_icount
                            tell(sum(run))
                        continue
                    selector.unregister(key.fd)
                    answers[key.data] = _answer(tasks[key.data], said[key.data])
                if (found := settled(answers)) is not None:
                    if "failed" in found[-1]:
                        raise _failure(tasks[len(found) - 1], found[-1])
                    return found
        self._idle = True
        return [answers[number] for number in range(len(tasks))]

    def _order(self, task: Task, at_a_time: int) -> FileIO:
        """Have a part replayed; where its answer comes out."""
        segment = task.segment
        order = {
            "recording": task.recording,
            "board": task.board,
            "first": segment.first,
            "last": segment.last,
            "analysis": task.analysis,
            "at_a_time": at_a_time,
        }
        ours, theirs = os.pipe()
        try:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs])
        except OSError as error:
            os.close(ours)
            raise MachineError(f"{_where(task)}: nobody is there to replay them: {error.strerror}") from error
        finally:
            os.close(theirs)
        return open(ours, "rb", buffering=0)


def settled(answers: Mapping[int, dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The answers up to the first behind which none counts: another run, a damaged log, a part that could not be.

    None as long as others may.
    """
    found: list[dict[str, Any]] = []
    while (answer := answers.get(len(found))) is not None:
        found.append(answer)
        if not SETTLING.isdisjoint(answer):
            return found
    return None


def _take_word(said: bytearray) -> int:
    """Take the lines in front of an answer, which is one, out of what a part has said; the last instruction count."""
    end = said.rindex(b"\n")
    words = said[:end].split()
    del said[: end + 1]
    return int(words[-1])


def _answer(task: Task, said: bytes | bytearray) -> dict[str, Any]:
    if not said:
        raise MachineError(f"{_where(task)}: the process that replayed them has died")
    found: dict[str, Any] = json.loads(said)
    return found


def _failure(task: Task, answer: dict[str, Any]) -> MachineError:
    return told_as(answer["exit_code"], f"{_where(task)}: {answer['failed']}")


def _where(task: Task) -> str:
    return f"instructions {task.segment.start_icount:,} to {task.segment.end_icount:,}"
