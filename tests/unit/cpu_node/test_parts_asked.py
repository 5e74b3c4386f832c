"""The process that forks for parts of a recording, and whoever asks it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from cpu_node.timeline.parts import Turns
from tests.harness.machine import ROOT, TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path


def test_who_goes_away_before_the_answer_leaves_no_traceback(tmp_path: Path) -> None:
    orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = {"recording": str(tmp_path / "none"), "board": "", "first": 0, "last": 1, "analysis": [], "at_a_time": 1}
    with orders, theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cpu_node.timeline.parts"], stdin=theirs.fileno(), stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        read, write = os.pipe()
        os.close(read)
        socket.send_fds(orders, [json.dumps(order).encode()], [write])
        os.close(write)
        orders.close()
        assert process.communicate(timeout=TIMEOUT_S)[1] == b""
        assert process.returncode == 0


def take_a_turn(turns: Turns, say: int, go: int) -> None:
    """In a process of its own: say when it begins, go on when told to, say when it ends."""
    with turns.mine():
        os.write(say, b"+")
        os.read(go, 1)
        os.write(say, b"-")
    os._exit(0)


def test_no_more_parts_are_replayed_at_a_time_than_was_asked_for() -> None:
    turns, (heard, say), (go, told) = Turns(2), os.pipe(), os.pipe()
    forks = []
    for _ in range(6):
        fork = os.fork()
        if fork == 0:
            take_a_turn(turns, say, go)
        forks.append(fork)
    os.close(say)
    said = b""
    while data := os.read(heard, 1):
        said += data
        if said.count(b"+") > said.count(b"-") + 1 or said.count(b"+") == len(forks):
            # Two at work; one of them may end.
            os.write(told, b"!")
    for fork in forks:
        os.waitpid(fork, 0)
    at_work = [said[:end].count(b"+") - said[:end].count(b"-") for end in range(1, len(said) + 1)]
    assert max(at_work) == 2
    assert len(said) == 2 * len(forks)
    for end in (heard, go, told):
        os.close(end)
