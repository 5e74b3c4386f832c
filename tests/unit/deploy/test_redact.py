"""Copies of recordings without what was said on some channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.redact import redact
from deploy.replaying import plan_replay
from machine.codec import decode
from machine.errors import LogError, UsageError
from machine.message import HostInput
from machine.recording.reader import Recording
from tests.unit.machine.recordings import FRAMES, write

if TYPE_CHECKING:
    from pathlib import Path

CHANNEL = "broker/host_input>serial0"


def test_the_bytes_of_a_channel_are_gone_and_nothing_else(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm"))
    assert redact(recording, [CHANNEL], tmp_path / "y.dejavm") == 1
    assert b"ls\n" not in b"".join(frame.payload for frame in Recording.open(tmp_path / "y.dejavm").frames())
    for old, new in zip(FRAMES, Recording.open(tmp_path / "y.dejavm").frames(), strict=True):
        message = decode(new.type, new.payload)
        assert new[:4] == old[:4]
        if isinstance(message, HostInput):
            assert message.data == b"\0\0\0"
        else:
            assert new == old


def test_a_node_is_all_that_it_says_and_hears(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm"))
    assert redact(recording, ["serial0"], tmp_path / "y.dejavm") == sum(2 in (f.source, f.target) for f in FRAMES)


def test_a_redacted_recording_says_so_and_does_not_replay(tmp_path: Path) -> None:
    redact(Recording.open(write(tmp_path / "x.dejavm")), [CHANNEL], tmp_path / "y.dejavm")
    copy = Recording.open(tmp_path / "y.dejavm")
    assert copy.facts.redacted == (CHANNEL,)
    with pytest.raises(LogError, match="can be read, not replayed"):
        plan_replay(copy, "log")


def test_a_channel_that_is_none_is_named_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no channel or node 'toaster'"):
        redact(Recording.open(write(tmp_path / "x.dejavm")), ["toaster"], tmp_path / "y.dejavm")
    assert not (tmp_path / "y.dejavm").exists()
