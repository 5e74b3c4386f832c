"""A replay that can be told what to do: a process of cpu_node.timeline and the pipes to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from deploy.environment import node_environment, runtime_directory
from deploy.scratch import put_file, scratch
from machine.board import render_board
from machine.errors import MachineError, told_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from machine.board import Board

Answer = dict[str, Any]


class Runner:
    """One replay.  Requests may be sent to several runners before their answers are taken: they work side by side.

    It is a line of processes, each the fork of the one before, which waits since it was saved; the last one runs.
    """

    def __init__(self, recording: Path, board: Board, perturbation: Mapping[str, int], snapshot: int = 0) -> None:
        options = [word for name, value in perturbation.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        self._rest = ExitStack()
        place, _ = self._rest.enter_context(scratch(runtime_directory()))
        there = put_file(place / "machine.toml", render_board(board))
        argv = [sys.executable, "-P", "-m", "cpu_node.timeline", str(recording.absolute())]
        self._process = subprocess.Popen(
            [*argv, "--board", str(there), "--snapshot", str(snapshot), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=node_environment(place),
            bufsize=0,
        )
        self._unread = b""
        self._line: list[int] = []
        self.stands = 0
        """The instruction where it stands, as far as it has said."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        # Nobody needs what they still do.
        for pid in self._line or [self._process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Whoever still runs has the other end of this pipe open: it ends when all of them have.
        while os.read(self._process.stdout.fileno(), 1 << 16):
            pass
        self._process.stdout.close()
        self._process.wait()
        self._rest.close()

    @property
    def saves(self) -> int:
        """How many processes wait; the number of the next save."""
        return len(self._line) - 1

    @property
    def heard(self) -> bool:
        """Whether an answer has been read that nobody has taken."""
        return b"\n" in self._unread.lstrip(b"\n")

    def fileno(self) -> int:
        """Where answers come."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, **request: object) -> None:
        """Ask for something; MachineError if the replay is gone."""
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise MachineError("the replay has ended while it was asked for something") from error

    def take(self) -> Answer:
        """The answer to the oldest request; MachineError if there is none."""
        while not (line := self._next_line()):
            pass
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise told_as(answer.get("exit_code"), f"the replay cannot tell: {answer['error']}")
        if "saved" in answer or not self._line:
            self._line.append(answer["by"])
        self.stands = int(answer.get("stands", self.stands))
        return answer

    def back(self, save: int) -> None:
        """Stand where it was saved for the time of that number, which is not saved any more.

        What it was doing and has been asked for since then is nobody's business any more.
        """
        while self.saves > save:
            gone = self._line.pop()
            os.kill(gone, signal.SIGKILL)
            self.stands = self._restored(self._line[-1])

    def _restored(self, pid: int) -> int:
        """Pass over what whoever has been killed has said until that process says where it stands."""
        while True:
            line = self._next_line()
            # Half a line, by one that was killed.
            with suppress(json.JSONDecodeError):
                answer: Answer = json.loads(line)
                if answer["by"] == pid and "restored" in answer:
                    return int(answer["restored"])

    def _next_line(self) -> bytes:
        while b"\n" not in self._unread:
            data = os.read(self.fileno(), 1 << 20)
            if not data:
                code = self._process.wait()
                raise told_as(code, f"the replay has ended with code {code}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def ask(self, **request: object) -> Answer:
        """Send and take."""
        self.send(**request)
        return self.take()


def ask_all(runners: Sequence[Runner], **request: object) -> list[Answer]:
    """The same of all of them, at the same time."""
    for runner in runners:
        runner.send(**request)
    return [runner.take() for runner in runners]
