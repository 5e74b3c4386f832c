"""A terminal's device file, for which a pseudo-terminal stands in."""

from __future__ import annotations

import fcntl
import os
import termios
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends.char.tty import BreakMarks
from machine.errors import BackendError
from machine.message import BackendResult, HostEvent
from tests.unit.devices.char_lines import Opened, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["opened"]


@dataclass
class Line:
    """The far end, and the device file of the near one, which stays open here so that its settings can be seen."""

    far: int
    near: int

    @property
    def path(self) -> str:
        return os.ttyname(self.near)

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self.near)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line(*os.openpty())
    yield line
    os.close(line.near)
    if line.far >= 0:
        os.close(line.far)


@pytest.mark.parametrize("prefix", ["tty:", ""])
def test_bytes_go_both_ways_as_they_are(opened: Opened, line: Line, prefix: str) -> None:
    loop = opened(prefix + line.path)
    every = bytes(range(256))
    os.write(line.far, every)
    loop.until_received(every)
    assert loop.backend.write(every) == BackendResult(256)
    assert os.read(line.far, 999) == every
    assert set(loop.kinds()) == {HostEvent.DATA}


def test_the_terminal_is_set_as_asked_and_given_back(opened: Opened, line: Line) -> None:
    before = line.attributes()
    loop = opened(f"{line.path},speed=9600,bits=7,parity=odd,stop=2,rtscts=on")
    _, oflag, cflag, lflag, ispeed, ospeed, _ = line.attributes()
    assert (oflag, lflag, ispeed, ospeed) == (0, 0, termios.B9600, termios.B9600)
    # A pseudo-terminal has eight bits and no parity whatever is asked for.
    assert cflag & termios.CSTOPB
    assert cflag & termios.CRTSCTS
    loop.backend.close()
    assert line.attributes() == before


def test_the_same_terminal_takes_other_settings_while_it_is_open(opened: Opened, line: Line) -> None:
    before = line.attributes()
    loop = opened(f"tty:{line.path}")
    assert loop.backend.take_word(f"{line.path},speed=2400")
    assert line.attributes()[4] == termios.B2400
    assert not loop.backend.take_word("tty:/dev/other")
    with pytest.raises(BackendError, match="speed 1 is none"):
        loop.backend.take_word(f"tty:{line.path},speed=1")
    loop.backend.close()
    assert line.attributes() == before


def test_a_terminal_that_is_locked_is_left_alone(opened: Opened, line: Line) -> None:
    before = line.attributes()
    fcntl.flock(line.near, fcntl.LOCK_EX)
    with pytest.raises(BackendError, match=f"serial0: cannot open terminal {line.path}: another program has locked it"):
        opened(f"tty:{line.path}")
    assert line.attributes() == before


def test_what_is_no_terminal_is_named(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"cannot open terminal /dev/no-such-tty: No such file"):
        opened("/dev/no-such-tty")
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match=rf"cannot open terminal {tmp_path}/file: Inappropriate ioctl"):
        opened(f"tty:{tmp_path}/file")


def test_no_more_is_read_than_there_is_room_for(opened: Opened, line: Line) -> None:
    loop = opened(line.path)
    os.write(line.far, b"abcdef")
    loop.room = 4
    loop.until(lambda: loop.received == b"abcd")
    loop.room = 0
    assert not loop.serve()
    loop.room = 4
    loop.until(lambda: loop.received == b"abcdef")


def test_a_line_that_is_held_takes_a_part_and_says_when_it_takes_more(opened: Opened, line: Line) -> None:
    loop = opened(line.path)
    taken = loop.backend.write(b"x" * (1 << 20)).accepted
    assert 0 < taken < 1 << 20
    while taken:
        taken -= len(os.read(line.far, taken))
    loop.until(lambda: HostEvent.WRITABLE in loop.kinds())
    assert loop.backend.write(b"more") == BackendResult(4)


def test_a_line_that_hangs_up_is_nobody(opened: Opened, line: Line) -> None:
    loop = opened(line.path)
    os.write(line.far, b"bye")
    os.close(line.far)
    line.far = -1
    loop.until_kinds(HostEvent.CLOSED)
    assert loop.backend.descriptors(9) == ()
    assert loop.backend.write(b"dropped") == BackendResult(7)
    loop.backend.close()


def test_breaks_stand_where_they_came() -> None:
    data, brk = HostEvent.DATA, HostEvent.BREAK
    marks = BreakMarks()
    assert list(marks.feed(b"a\xff\0\0b\xff\xffc")) == [(data, b"a"), (brk, b""), (data, b"b\xffc")]
    # A byte whose frame was wrong is handed on; so is what no terminal says.
    assert list(marks.feed(b"\xff\0x\xffy")) == [(data, b"xy")]
    assert list(marks.feed(b"\xff")) == []
    assert list(marks.feed(b"\0")) == []
    assert list(marks.feed(b"\0")) == [(brk, b"")]


@given(st.lists(st.one_of(st.binary(max_size=5), st.none())), st.lists(st.integers(0, 60)))
def test_marks_are_read_as_they_are_written_wherever_they_are_cut(pieces: list[bytes | None], cuts: list[int]) -> None:
    written = b"".join(b"\xff\0\0" if piece is None else piece.replace(b"\xff", b"\xff\xff") for piece in pieces)
    said: list[object] = []
    for piece in pieces:
        said += [HostEvent.BREAK] if piece is None else piece
    marks = BreakMarks()
    at = [0, *sorted(cut for cut in cuts if cut < len(written)), len(written)]
    heard: list[object] = []
    for start, end in pairwise(at):
        for event, text in marks.feed(written[start:end]):
            heard += [event] if event is HostEvent.BREAK else text
    assert heard == said
