"""`python -m cpu_node.timeline.parts`: forks a process for each part of a recording that is to be replayed.

Theory of operation.  Python, our modules and the engine's library take as long to come up as 60 million instructions to
run.  Here that is done once, and while whoever wants the parts is still planning them.  Standard input is a socket of
whole messages; each is a part in JSON and the write end of a pipe, into which the fork puts its answer in JSON, and
before, a line each, how many instructions it is at.  All
forks are there at once, and wait for their turns: a pipe holds a byte for each that may replay.

Lives here: asking and answering.  Never here: what a part is (segment.py), how many run at a time (deploy/analysis/).
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from cpu_node.timeline.segment import replay_part
from machine.board import parse_board
from machine.errors import MachineError
from machine.leaving import leave
from machine.node import die_with_parent, start_diagnostics
from machine.recording.reader import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST: Final = 1 << 17
STDIN: Final = 0


class Turns:
    """Has so many forks of this process at work at a time, the first that asked first."""

    def __init__(self, at_a_time: int) -> None:
        self._free, self._over = os.pipe()
        # No host runs as many as a pipe holds.
        os.write(self._over, bytes(min(at_a_time, select.PIPE_BUF)))

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for a turn; who dies in it keeps it for good."""
        os.read(self._free, 1)
        try:
            yield
        finally:
            os.write(self._over, b"\0")


def answer_to(task: dict[str, Any], tell: Callable[[int], None]) -> dict[str, object]:
    """Replay a part; `failed` says why it could not be, with that error's `exit_code`.  `tell` hears how far it is."""
    try:
        recording = Recording.open(Path(task["recording"]))
        board = parse_board(task["board"], task["recording"])
        player = Player(recording, board, Perturbation(), task["first"])
        return replay_part(recording, player, task["last"], task["analysis"], tell)
    except MachineError as error:
        return {"failed": str(error), "exit_code": error.exit_code}


def _answer(task: dict[str, Any], end: int, turns: Turns) -> None:
    """In the fork: answer, and be gone without any of Python's farewells."""
    code = 1
    try:
        die_with_parent()
        # Each line goes out at once.
        with open(end, "w", encoding="utf-8", buffering=1) as pipe:

            def tell(icount: int) -> None:
                pipe.write(f"{icount}\n")

            with turns.mine():
                answer = json.dumps(answer_to(task, tell))
            # Who is asked may have to wait until he is heard, and others need not.
            pipe.write(answer)
        code = 0
    except BrokenPipeError:
        pass  # who has asked is not there any more: interrupted, for one
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def main() -> int:
    """Fork for each part until nobody asks any more."""
    start_diagnostics("part")
    die_with_parent()
    # Ctrl-C is the command's to speak of.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()
    forks: set[int] = set()
    turns: Turns | None = None
    with socket.socket(fileno=STDIN) as orders:
        while True:
            data, ends, _, _ = socket.recv_fds(orders, LARGEST, 1)
            forks -= {fork for fork in forks if os.waitpid(fork, os.WNOHANG)[0]}
            if not data:
                break
            task = json.loads(data)
            # As many for all of them as the first says.
            turns = turns or Turns(task["at_a_time"])
            fork = os.fork()
            if fork == 0:
                orders.close()
                _answer(task, ends[0], turns)
            forks.add(fork)
            os.close(ends[0])
    for fork in forks:
        os.waitpid(fork, 0)
    return 0


if __name__ == "__main__":
    leave(main())
