"""Scripts: what they say, what is wrong with them, and that they depend on output and room alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends.char.script import ScriptBackend
from devices.backends.char.scriptfile import Expect, Send, parse_script
from devices.backends.steps import Delay, QuitRun
from machine.errors import BackendError
from machine.message import HostEvent
from tests.harness.host_loop import HostLoop

if TYPE_CHECKING:
    from pathlib import Path


def script(tmp_path: Path, text: str) -> HostLoop:
    path = tmp_path / "user.script"
    path.write_text(text)
    return HostLoop(ScriptBackend(str(path), "serial0")).open()


def output(loop: HostLoop, data: bytes, room: int = 256) -> None:
    assert loop.backend.write(data).accepted == len(data)
    loop.backend.advance(room)


def test_a_script_is_parsed_whole() -> None:
    text = r"""
        # log in
        expect login:
        send root\n     # no password
        expect "# "
        delay 1.5s
        delay 500us
        send "a \"b\" \\ \x41\t#\r\n"
        quit
    """
    assert parse_script(text, "t") == [
        Expect(b"login:"),
        Send(b"root\n"),
        Expect(b"# "),
        Delay(1_500_000_000),
        Delay(500_000),
        Send(b'a "b" \\ A\t#\r\n'),
        QuitRun(),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("wait 5s", "unknown word 'wait'"),
        ("expect", "a text is missing"),
        ('send ""', "a text is missing"),
        ('send "open', "quotes do not close"),
        ('send "a" b', "something follows"),
        (r"send a\q", "unknown escape"),
        (r"send a\x4", "unknown escape"),
        ("delay soon", "not a time"),
        ("delay 99999999999999s", "longer than a century"),
        ("delay 1s\nexpect x", "a delay is for a send"),
        ("delay 1s", "ends with a delay"),
        ("quit now", "quit stands alone"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(line: str, says: str) -> None:
    with pytest.raises(BackendError, match=rf"user\.script:[34]: .*{says}"):
        parse_script("# a script\n\n" + line, "user.script")


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"serial0: cannot read script .*/none"):
        HostLoop(ScriptBackend(f"{tmp_path}/none", "serial0")).open()


def test_it_types_when_the_output_it_waits_for_has_come(tmp_path: Path) -> None:
    loop = script(tmp_path, "expect ab\nsend 1\nexpect ab\nsend 2\nquit\n")
    output(loop, b"a")
    assert loop.events == []
    output(loop, b"b a")
    assert loop.events == [(HostEvent.DATA, b"1", 0)]
    assert not loop.backend.wants_quit()
    output(loop, b"b")
    assert loop.received == b"12"
    assert loop.backend.wants_quit()


def test_delays_add_up_from_the_output_that_was_expected(tmp_path: Path) -> None:
    loop = script(tmp_path, "expect a\ndelay 1s\nsend 1\ndelay 2s\nsend 2\nexpect b\nsend 3\n")
    output(loop, b"ab")
    assert [(data, delay) for _, data, delay in loop.events] == [(b"1", 10**9), (b"2", 3 * 10**9), (b"3", 0)]


def test_a_send_longer_than_the_room_goes_in_pieces(tmp_path: Path) -> None:
    loop = script(tmp_path, "send abcdef\nsend gh\n")
    for room in (0, 4, 0, 1, 3):
        loop.backend.advance(room)
    assert [data for _, data, _ in loop.events] == [b"abcd", b"e", b"f", b"gh"]


def test_output_that_comes_while_a_send_waits_is_not_forgotten(tmp_path: Path) -> None:
    loop = script(tmp_path, "send abc\nexpect done\nquit\n")
    output(loop, b"done", room=0)
    assert not loop.backend.wants_quit()
    loop.backend.advance(3)
    assert loop.backend.wants_quit()


@pytest.fixture(scope="module")
def marker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "marker.script"
    path.write_text("expect \\0\\x01\\0\nsend found\n")
    return path


@given(pieces=st.lists(st.one_of(st.binary(max_size=3), st.sampled_from([b"\0", b"\1", b"\0\1"])), max_size=20))
def test_a_text_is_found_however_the_output_is_cut(marker: Path, pieces: list[bytes]) -> None:
    loop = HostLoop(ScriptBackend(str(marker), "serial0")).open()
    for piece in pieces:
        output(loop, piece)
    assert (loop.received == b"found") == (b"\0\1\0" in b"".join(pieces))
