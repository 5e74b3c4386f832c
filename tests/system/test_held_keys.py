"""A key that is held where a recording is gone on with is let go there: whoever held it has gone."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from machine.codec import decode
from machine.input_events import EV_KEY, Event, unpack_events
from machine.message import HostInput
from machine.recording.reader import Recording
from tests.harness.killing import await_said
from tests.harness.line import EchoLine
from tests.harness.monitor import Qmp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

A = 30
DOWN, UP = Event(EV_KEY, A, 1), Event(EV_KEY, A, 0)


def pressed(path: Path) -> list[tuple[int, Event]]:
    """What the keyboard was told of the key, and at which instruction."""
    said = ((frame.icount, decode(frame.type, frame.payload)) for frame in Recording.open(path).frames())
    told = ((icount, message) for icount, message in said if isinstance(message, HostInput) and message.by_monitor)
    return [(icount, event) for icount, message in told for event in unpack_events(message.data) if event.code == A]


def test_a_key_is_let_go_behind_a_killed_broker_and_where_a_branch_begins(home: Home) -> None:
    line = EchoLine(home, None, "--input", "kbd", "--snapshot-every", "100ms")
    with Qmp(home) as qmp:
        key = {"type": "qcode", "data": "a"}
        qmp.execute("input-send-event", events=[{"type": "key", "data": {"down": True, "key": key}}])
        line.echo(b"held")
        await_said(line.path, b"HELD")
        os.kill(home.pid_of("broker"), signal.SIGKILL)
        line.echo(b"behind")
    assert "another broker goes on" in line.end()
    (down_at, down), (up_at, up) = pressed(line.path)
    assert (down, up) == (DOWN, UP)
    home.verify_both_ways(line.path)
    # The guest has the key down at each place between.
    script = home.script('send "other\\n"\nexpect OTHER\nsend "\\x04"\nexpect PASS\n')
    child = home.work / "child.dejavm"
    done = home.run("branch", f"{line.path}@{(down_at + up_at) // 2}", "--serial", script, "-o", child)
    assert done.exit_code == 0, done.stderr
    assert [event for _, event in pressed(child)] == [UP]
    home.verify_both_ways(child)
