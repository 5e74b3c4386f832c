"""`python -m cpu_node.timeline.parts`: forks a process for each part of a recording that is to be replayed.

Theory of operation.  Python, our modules and the engine's library take as long to come up as 60 million instructions to
run.  Here that is done once, and while whoever wants the parts is still planning them.  Standard input is a socket of
whole messages; each is a part in JSON and the write end of a pipe, into which the fork puts its answer in JSON.

Lives here: asking and answering.  Never here: what a part is (segment.py), how many run at a time (deploy/analysis/).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from cpu_node.timeline.perturb import Perturbation
from cpu_node.timeline.player import Player
from cpu_node.timeline.segment import replay_part
from machine.board import parse_board
from machine.errors import MachineError
from machine.leaving import leave
from machine.node import die_with_parent, start_diagnostics
from machine.recording.reader import Recording

LARGEST: Final = 1 << 17
STDIN: Final = 0


def answer_to(task: dict[str, Any]) -> dict[str, object]:
    """Replay a part; `failed` says why it could not be, with that error's `exit_code`."""
    try:
        recording = Recording.open(Path(task["recording"]))
        board = parse_board(task["board"], task["recording"])
        player = Player(recording, board, Perturbation(), task["first"])
        return replay_part(recording, player, task["last"], task["analysis"])
    except MachineError as error:
        return {"failed": str(error), "exit_code": error.exit_code}


def _answer(task: dict[str, Any], end: int) -> None:
    """In the fork: answer, and be gone without any of Python's farewells."""
    code = 1
    try:
        die_with_parent()
        with open(end, "w", encoding="utf-8") as pipe:
            json.dump(answer_to(task), pipe)
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
    with socket.socket(fileno=STDIN) as orders:
        while True:
            data, ends, _, _ = socket.recv_fds(orders, LARGEST, 1)
            forks -= {fork for fork in forks if os.waitpid(fork, os.WNOHANG)[0]}
            if not data:
                break
            fork = os.fork()
            if fork == 0:
                orders.close()
                _answer(json.loads(data), ends[0])
            forks.add(fork)
            os.close(ends[0])
    for fork in forks:
        os.waitpid(fork, 0)
    return 0


if __name__ == "__main__":
    leave(main())
