"""Recordings of which checksums and chain are good, and that say what no run has: exit code 4, one line, in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.codec import encode, type_of
from machine.frame import Frame
from machine.icount import BROKER, CPU
from machine.message import BackendResult, FifoData, HostInput
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
from tests.harness.guests import guest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

REPLAYS = (
    ("replay",), ("verify",), ("verify", "--devices", "live"), ("verify", "--jobs", "1"), ("analyse",), ("bisect",),
    ("snapshots", "--make", "20000"),
)  # fmt: skip


def recorded(home: Home) -> Path:
    """A guest that has been typed at."""
    script = home.script('expect READY\nsend "hi\\x04"\nexpect PASS\n')
    return home.record("bare", "--kernel", guest("echo"), "--serial", script)


def forged(path: Path, forge: Callable[[Frame], list[Frame]], kind: type = HostInput) -> Path:
    """A recording beside it with other messages in place of those of one kind: of what was typed."""
    real = Recording.open(path)
    target = path.with_name("forged.dejavm")
    writer = RecordingWriter(target, real.board, real.facts)
    said = [new for old in real.frames() for new in (forge(old) if old.type == type_of(kind) else [old])]
    for seq, frame in enumerate(said, 1):
        writer.append(frame._replace(seq=seq), seq)
    writer.finish()
    return target


def test_what_nobody_can_have_told_the_cpu_is_an_unreadable_recording(home: Home) -> None:
    result = Frame(type_of(BackendResult), BROKER, CPU, 0, encode(BackendResult(1)))
    path = forged(recorded(home), lambda typed: [typed, result._replace(icount=typed.icount)])
    for command, *options in REPLAYS:
        told = home.run(command, str(path), *options)
        assert (command, told.exit_code) == (command, 4)
        assert told.complaint
    told = home.run("gdb", str(path), "--program", "/bin/true")
    assert "Traceback" not in told.stderr


def test_an_input_for_the_broker_is_waited_for_by_nobody(home: Home) -> None:
    path = forged(recorded(home), lambda typed: [typed._replace(target=BROKER)])
    told = home.run("verify", str(path), "--devices", "live")
    assert (told.exit_code, "is for node 0" in told.complaint) == (4, True)


def test_a_guest_that_runs_on_behind_the_recorded_end_has_diverged(home: Home) -> None:
    """Told of a byte that is not there it takes the same interrupt for ever, and says nothing for a minute."""
    path = forged(recorded(home), lambda _: [], FifoData)
    for command, *options in (("verify", "--jobs", "1"), ("analyse",), ("snapshots", "--make", "50000")):
        told = home.run(command, str(path), *options)
        assert (command, told.exit_code) == (command, 3), told.stderr
        assert "the CPU runs on at" in told.complaint
