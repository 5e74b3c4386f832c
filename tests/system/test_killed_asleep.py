"""A broker that is killed while the guest sleeps: it goes on asleep, and who wants something of it there gets it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from machine.recording.reader import Recording
from tests.harness.killing import await_another
from tests.harness.line import EchoLine
from tests.harness.monitor import Qmp

if TYPE_CHECKING:
    from tests.harness.machine import Home

pytestmark = pytest.mark.system


def test_a_guest_that_sleeps_where_it_was_taken_back_to_is_kept_held_typed_to_and_ended(home: Home) -> None:
    line = EchoLine(home)
    with Qmp(home) as qmp:
        qmp.execute("snapshot-save", tag="before")
    os.kill(home.pid_of("broker"), signal.SIGKILL)
    await_another(line.path)
    with Qmp(home) as qmp:
        qmp.execute("snapshot-save", tag="behind")
        qmp.execute("stop")
        qmp.execute("snapshot-save", tag="held")
        qmp.execute("cont")
    line.echo(b"typed")
    assert "another broker goes on from instruction" in line.end()
    assert Recording.open(line.path).clean_end
    home.verify_both_ways(line.path)
