"""A broker for which the host has few descriptors, and many who connect and say nothing: its own can still come in."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.board import render_board
from machine.icount import BROKER
from machine.keys import BROKER as BROKER_NAME
from machine.keys import KeyRing
from machine.port import Port
from tests.harness.ports import free_port
from tests.unit.replay_broker.serving import hear
from tests.unit.replay_broker.stage import BOARD

if TYPE_CHECKING:
    from pathlib import Path

USUAL: Final = 64
"""Descriptors that a process may have without asking for more."""
STRANGERS: Final = 3 * USUAL
PATIENCE_S: Final = 60.0


def test_strangers_who_say_nothing_take_no_place_of_anybody_else(tmp_path: Path) -> None:
    KeyRing(tmp_path).make(BROKER_NAME)
    board, bus, control = tmp_path / "board.toml", f"ipc://{tmp_path}/b", f"ipc://{tmp_path}/c"
    board.write_text(render_board(BOARD))
    port = free_port()
    words = ("--board", board, "--bus", bus, "--control", control, "--mode", "none", "--keys", tmp_path)
    command = [sys.executable, "-m", "replay_broker", *map(str, words), "--remote", f"127.0.0.1:{port}"]
    few = ["sh", "-c", f'ulimit -Sn {USUAL}; exec "$@"', "sh", *command]
    with subprocess.Popen(few) as broker, ExitStack() as stack:
        stack.callback(broker.kill)
        first = Port(control)
        stack.callback(first.close, 0)
        first.send(m.StatusRequest(), BROKER, 0)
        frame = first.receive(PATIENCE_S)
        assert frame is not None
        for _ in range(STRANGERS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
        operator = Port(control)
        stack.callback(operator.close, 0)
        operator.send(m.StatusRequest(), BROKER, 0)
        status = hear(operator)
        assert isinstance(status, m.Status)
        assert status.state is m.RunState.STARTING
