"""The process that forks for parts of a recording, and whoever asks it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.harness.machine import ROOT, TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path


def test_who_goes_away_before_the_answer_leaves_no_traceback(tmp_path: Path) -> None:
    orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = {"recording": str(tmp_path / "none"), "board": "", "first": 0, "last": 1, "analysis": []}
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
