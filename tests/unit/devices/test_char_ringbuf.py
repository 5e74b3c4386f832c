"""Output kept in memory for who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from machine.errors import BackendError
from machine.message import BackendResult
from machine.ringbuf import RingReader, ring_path
from tests.unit.devices.char_lines import Opened, opened

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["opened"]


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEJAVM_RUN_DIRECTORY", str(tmp_path))
    return tmp_path


def content(directory: Path) -> bytes:
    reader = RingReader(ring_path(directory, "serial0"))
    try:
        return reader.read(1 << 20)
    finally:
        reader.close()


@pytest.mark.parametrize("word", ["ringbuf", "ringbuf:size=65536", "ringbuf,size=65536"])
def test_the_newest_output_is_kept(opened: Opened, run_directory: Path, word: str) -> None:
    loop = opened(word)
    data = bytes(range(256)) * 400
    assert loop.backend.write(data) == BackendResult(len(data))
    assert loop.backend.descriptors(99) == ()
    assert content(run_directory) == data[-65536:]
    assert content(run_directory) == b""
    assert loop.backend.write(b"more") == BackendResult(4)
    assert content(run_directory) == b"more"


def test_a_ring_may_be_small_and_goes_with_its_line(opened: Opened, run_directory: Path) -> None:
    loop = opened("ringbuf:size=5")
    loop.backend.write(b"hello world")
    assert content(run_directory) == b"world"
    loop.backend.close()
    assert list(run_directory.iterdir()) == []
    assert loop.backend.write(b"late") == BackendResult(4)


def test_a_ring_changed_for_another_is_empty_and_stays(opened: Opened, run_directory: Path) -> None:
    old = opened("ringbuf")
    old.backend.write(b"old")
    opened("ringbuf:size=3").backend.write(b"news")
    old.backend.close()
    assert content(run_directory) == b"ews"


def test_a_ring_needs_a_running_machine(opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEJAVM_RUN_DIRECTORY", raising=False)
    with pytest.raises(BackendError, match="needs the running machine's directory"):
        opened("ringbuf")
    monkeypatch.setenv("DEJAVM_RUN_DIRECTORY", str(tmp_path / "gone"))
    with pytest.raises(BackendError, match=r"serial0: cannot make the ring buffer .*: No such file"):
        opened("ringbuf")
