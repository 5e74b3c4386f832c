"""The machine's processes as the launcher's children: started, heard, ended."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from typing import TYPE_CHECKING, Final

from deploy.environment import node_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploy.plan import ProcessPlan

TERM_S: Final = 2.0
"""How long a process that was told to terminate may take."""

CLOSING_S: Final = 0.01
"""Between a process's last word and its exit code."""

_READ_BYTES: Final = 65536


class Child:
    """One started process; its standard error comes to us line by line."""

    def __init__(self, plan: ProcessPlan, directory: Path, keeper: int | None = None) -> None:
        self.plan = plan
        self.name = plan.name
        self.last_line = ""
        self._partial = b""
        quiet = None if plan.terminal else subprocess.DEVNULL
        self.process = subprocess.Popen(
            plan.argv,
            stdin=quiet,
            stdout=quiet,
            stderr=subprocess.PIPE,
            env=node_environment(directory),
            # A process of another session never gets the terminal's signals, but cannot read it either.
            start_new_session=not plan.terminal,
            # As long as one of them lives, nobody clears away.
            pass_fds=() if keeper is None else (keeper,),
        )
        assert self.process.stderr is not None
        self.stderr_fd = self.process.stderr.fileno()
        os.set_blocking(self.stderr_fd, False)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that killed it."""
        return self.process.poll()

    def lines(self) -> tuple[list[str], bool]:
        """The lines of standard error since last time, and whether more may come."""
        try:
            data = os.read(self.stderr_fd, _READ_BYTES)
        except BlockingIOError:
            return [], True
        *whole, self._partial = (self._partial + data).split(b"\n")
        if not data and self._partial:
            whole, self._partial = [self._partial], b""
        lines = [line.decode(errors="replace").rstrip("\r") for line in whole]
        self.last_line = next((line for line in reversed(lines) if line.strip()), self.last_line)
        return lines, bool(data)


class Children:
    """All processes of a run, which share `directory`; `say` takes each line one of them writes to standard error.

    `keeper` is the descriptor that keeps the directory (scratch.py).
    """

    def __init__(self, say: Callable[[str], None], directory: Path, keeper: int | None = None) -> None:
        self._say = say
        self._keeper = keeper
        self._directory = directory
        self._selector = selectors.DefaultSelector()
        self._wakers: list[int] = []
        self.all: list[Child] = []

    def start(self, plan: ProcessPlan) -> None:
        """Start one process; OSError if the host cannot."""
        child = Child(plan, self._directory, self._keeper)
        self.all.append(child)
        self._selector.register(child.stderr_fd, selectors.EVENT_READ, child)

    def restart(self, child: Child) -> None:
        """Start another process in place of one that has died; OSError if the host cannot."""
        while child.stderr_fd in self._selector.get_map() and self._hear(child):
            pass
        if child.stderr_fd in self._selector.get_map():
            self._selector.unregister(child.stderr_fd)
        assert child.process.stderr is not None
        child.process.stderr.close()
        self.all.remove(child)
        self.start(child.plan)

    def also_wake_on(self, fd: int) -> None:
        """Let a readable descriptor end wait(), until hear_only_children()."""
        self._selector.register(fd, selectors.EVENT_READ, None)
        self._wakers.append(fd)

    def hear_only_children(self) -> None:
        """Forget the descriptors of also_wake_on(): they are about to be closed."""
        for fd in self._wakers:
            self._selector.unregister(fd)
        self._wakers.clear()

    def wait(self, timeout_s: float) -> None:
        """Wait until something happens, passing on what the children write."""
        heard, living = self._selector.get_map(), self._living()
        if not living or any(child.stderr_fd not in heard for child in living):
            # A leaving process closes its standard error a moment before it can be asked for its exit code;
            # the last one may have left since the caller looked, and nobody would wake us any more.
            timeout_s = min(timeout_s, CLOSING_S)
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if isinstance(key.data, Child):
                self._hear(key.data)

    def named(self, name: str) -> Child:
        """The child of that name."""
        return next(child for child in self.all if child.name == name)

    def dead(self) -> list[Child]:
        """Those that have ended, in the order of their start."""
        return [child for child in self.all if child.exit_code is not None]

    def kill(self) -> None:
        """Have all end as they stand: what one that leaves in order would clear away is its successor's."""
        for child in self._living():
            child.process.kill()

    def end(self, patience_s: float) -> None:
        """Wait for all to leave by themselves, then terminate, then kill; none is left afterwards."""
        self.hear_only_children()
        self._wait_for_all(patience_s)
        for child in self._living():
            child.process.terminate()
        self._wait_for_all(TERM_S)
        for child in self._living():
            child.process.kill()
        for child in self.all:
            child.process.wait()
            while child.stderr_fd in self._selector.get_map() and self._hear(child):
                pass
            assert child.process.stderr is not None
            child.process.stderr.close()
        self._selector.close()

    def _living(self) -> list[Child]:
        return [child for child in self.all if child.exit_code is None]

    def _wait_for_all(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while self._living() and (left_s := deadline - time.monotonic()) > 0:
            self.wait(left_s)

    def _hear(self, child: Child) -> bool:
        """Pass on what a child has written; whether it may write more now."""
        lines, more = child.lines()
        for line in lines:
            self._say(line)
        if not more:
            self._selector.unregister(child.stderr_fd)
        return more and bool(lines)
