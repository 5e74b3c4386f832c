"""The terminal is as before, whatever a device did to it."""

from __future__ import annotations

import os
import pty
import sys
import termios
import tty
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from deploy.terminal import KeptTerminal, is_owned
from machine.board import Board, DeviceSlot

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal that is our standard input; its descriptor."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield stdin.fileno()
    os.close(outer)


def board(backend: str) -> Board:
    return Board("tiny", devices=(DeviceSlot("serial0", "serial", 0x1000_0000, backend=backend),))


def test_a_terminal_left_raw_is_put_right(terminal: int) -> None:
    before = termios.tcgetattr(terminal)
    with KeptTerminal(owned=True):
        tty.setraw(terminal)
        assert termios.tcgetattr(terminal) != before
    assert termios.tcgetattr(terminal) == before


def test_a_terminal_no_device_has_is_not_touched(terminal: int) -> None:
    with KeptTerminal(owned=False):
        tty.setraw(terminal)
        changed = termios.tcgetattr(terminal)
    assert termios.tcgetattr(terminal) == changed


def test_a_run_owns_the_terminal_only_with_a_device_on_stdio(terminal: int) -> None:
    assert terminal >= 0
    assert is_owned(board("stdio"))
    assert is_owned(board("mon:stdio"))
    assert is_owned(board("stdio,mux=on"))
    assert not is_owned(board("mon:pty"))
    assert not is_owned(board("null"))


def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    monkeypatch.setattr(sys, "stdout", StringIO())
    assert not is_owned(board("stdio"))
