"""Copies of recordings without what was said on some channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.redact import blanked, redact
from deploy.replaying import plan_replay
from machine.codec import decode, encode, type_of
from machine.errors import LogError, UsageError
from machine.frame import Frame
from machine.message import HostInput, Register, RegisterMap
from machine.recording.reader import Recording
from machine.recording.writer import RecordingWriter
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


def test_what_a_device_shows_in_its_registers_is_gone_too() -> None:
    shown = RegisterMap((Register(7, value=0x41), Register(8, value=3, latch_mask=1)))
    frame = Frame(type_of(RegisterMap), 2, 1, 50, encode(shown))
    assert decode(frame.type, blanked(frame).payload) == RegisterMap((Register(7), Register(8, latch_mask=1)))


def test_a_payload_that_is_no_message_loses_all_its_bytes(tmp_path: Path) -> None:
    odd = [f._replace(payload=b"\xff\xff\xff secret") if f.type == type_of(HostInput) else f for f in FRAMES]
    assert redact(Recording.open(write(tmp_path / "x.dejavm", odd)), [CHANNEL], tmp_path / "y.dejavm") == 1
    blank = [f.payload for f in Recording.open(tmp_path / "y.dejavm").frames() if f.type == type_of(HostInput)]
    assert blank == [bytes(len(b"\xff\xff\xff secret"))]


def test_a_node_that_the_board_does_not_have_is_redacted_by_its_number(tmp_path: Path) -> None:
    odd = [f._replace(source=77) if f.type == type_of(HostInput) else f for f in FRAMES]
    recording = Recording.open(write(tmp_path / "x.dejavm", odd))
    assert redact(recording, ["node77/host_input>serial0"], tmp_path / "y.dejavm") == 1


def test_a_message_of_a_type_nobody_knows_is_copied(tmp_path: Path) -> None:
    recording = Recording.open(write(tmp_path / "x.dejavm"))
    writer = RecordingWriter(tmp_path / "u.dejavm", recording.board, recording.facts)
    for frame in FRAMES[:-1]:
        writer.append(frame, 0)
    writer.append(FRAMES[-1]._replace(type=500, source=2, target=1, payload=b"a secret"), 0)
    writer.finish()
    redact(Recording.open(tmp_path / "u.dejavm"), ["serial0"], tmp_path / "y.dejavm")
    last = list(Recording.open(tmp_path / "y.dejavm").frames())[-1]
    assert (last.type, last.payload) == (500, bytes(len(b"a secret")))
