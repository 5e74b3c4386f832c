"""Named pipes: both directions, one, none."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.unit.devices.char_lines import Opened, opened

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["opened"]


@pytest.fixture
def pipes(tmp_path: Path) -> Path:
    for end in ("in", "out"):
        os.mkfifo(tmp_path / f"p.{end}")
    return tmp_path / "p"


def test_one_pipe_is_read_and_the_other_written(opened: Opened, pipes: Path) -> None:
    loop = opened(f"pipe:{pipes}")
    reader = os.open(f"{pipes}.out", os.O_RDONLY)
    writer = os.open(f"{pipes}.in", os.O_WRONLY)
    os.write(writer, b"typed")
    loop.room = 3
    loop.until(lambda: loop.received == b"typ")
    loop.until(lambda: loop.received == b"typed")
    assert loop.backend.write(b"shown") == BackendResult(5)
    assert os.read(reader, 99) == b"shown"
    os.close(reader)
    os.close(writer)


def test_writers_come_and_go_and_nobody_hears_of_it(opened: Opened, pipes: Path) -> None:
    loop = opened(f"pipe:{pipes}")
    for number in (1, 2):
        writer = os.open(f"{pipes}.in", os.O_WRONLY)
        os.write(writer, b"x")
        os.close(writer)
        loop.until_received(b"x" * number)
        assert not loop.serve()
    assert loop.kinds() == [HostEvent.DATA] * 2


def test_output_waits_in_the_pipe_for_who_comes_to_read(opened: Opened, pipes: Path) -> None:
    loop = opened(f"pipe:{pipes}")
    data = os.urandom(1 << 20)
    taken = loop.backend.write(data).accepted
    assert 0 < taken < len(data)
    assert not loop.serve()
    reader = os.open(f"{pipes}.out", os.O_RDONLY)
    got = b""
    while len(got) < taken:
        got += os.read(reader, 1 << 16)
    loop.until(lambda: HostEvent.WRITABLE in loop.kinds())
    assert loop.backend.write(b"more") == BackendResult(4)
    assert os.read(reader, 9) == b"more"
    os.close(reader)
    assert got == data[:taken]


def test_a_reader_sees_the_end_when_the_line_is_closed(opened: Opened, pipes: Path) -> None:
    loop = opened(f"pipe:{pipes}")
    reader = os.open(f"{pipes}.out", os.O_RDONLY)
    loop.backend.write(b"last words")
    loop.backend.close()
    assert os.read(reader, 99) == b"last words"
    assert os.read(reader, 99) == b""
    os.close(reader)


def test_one_pipe_alone_takes_output_and_never_gives_it_back(opened: Opened, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    loop = opened(f"pipe:{tmp_path}/p")
    assert loop.backend.write(b"shown") == BackendResult(5)
    assert not loop.serve()
    assert loop.received == b""
    reader = os.open(tmp_path / "p", os.O_RDONLY)
    assert select.select([reader], [], [], 10)[0]
    assert os.read(reader, 99) == b"shown"
    os.close(reader)


def test_a_pipe_that_is_not_there_or_is_no_pipe_is_named(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "p"
    with pytest.raises(BackendError, match=rf"neither {path}\.in and {path}\.out nor {path}; make them: mkfifo"):
        opened(f"pipe:{path}")
    os.mkfifo(f"{path}.in")
    with pytest.raises(BackendError, match="there are neither"):
        opened(f"pipe:{path}")
    (tmp_path / "p.out").write_text("a file")
    with pytest.raises(BackendError, match=rf"cannot open pipe {path}\.out: it is not a named pipe"):
        opened(f"pipe:{path}")
    path.write_text("a file")
    (tmp_path / "p.out").unlink()
    with pytest.raises(BackendError, match=f"cannot open pipe {path}: it is not a named pipe"):
        opened(f"pipe:{path}")
