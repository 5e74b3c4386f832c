"""The escape key, and the line that is edited on a terminal shared with the monitor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.backends.char.escape import EscapeCommand, EscapeKeys
from devices.backends.char.lineedit import LINE_BYTES, REMEMBERED, LineEditor

HELP, QUIT, BREAK, SWITCH = EscapeCommand.HELP, EscapeCommand.QUIT, EscapeCommand.BREAK, EscapeCommand.SWITCH
UP, DOWN = b"\x1b[A", b"\x1b[B"


class Desk:
    """An editor, the screen it writes on, the lines it has handed over."""

    def __init__(self) -> None:
        self.screen = bytearray()
        self.lines: list[bytes] = []
        self.editor = LineEditor(self.screen.extend, self.lines.append)

    def type(self, *keys: bytes) -> list[bytes]:
        """Type; the lines that came of it."""
        self.lines.clear()
        for piece in keys:
            self.editor.feed(piece)
        return list(self.lines)

    def shown(self) -> str:
        """The last line of the screen as somebody sees it."""
        seen: list[str] = []
        for character in bytes(self.screen).decode(errors="replace"):
            match character:
                case "\n":
                    seen.clear()
                case "\b":
                    # A space is written over what was there, and the cursor goes back again.
                    seen.pop()
                case "\a":
                    pass
                case _:
                    seen.append(character)
        return "".join(seen)


def test_commands_stand_between_the_keys_they_came_between() -> None:
    keys = EscapeKeys()
    assert list(keys.feed(b"ab\x01hc\x01x\x01bd\x01c")) == [b"ab", HELP, b"c", QUIT, BREAK, b"d", SWITCH]
    assert list(keys.feed(b"\x01\x01\x01a\x01?")) == [b"\x01\x01", HELP]


def test_the_escape_key_may_be_the_last_of_a_read() -> None:
    keys = EscapeKeys()
    assert list(keys.feed(b"ab\x01")) == [b"ab"]
    assert list(keys.feed(b"hq\x01")) == [HELP, b"q"]
    assert list(keys.feed(b"zx\x01")) == [b"x"]
    assert list(keys.feed(b"x")) == [QUIT]


@given(st.binary())
def test_without_the_escape_key_every_key_is_handed_on(data: bytes) -> None:
    plain = data.replace(b"\x01", b"")
    assert b"".join(key for key in EscapeKeys().feed(plain) if isinstance(key, bytes)) == plain
    doubled = data.replace(b"\x01", b"\x01\x01")
    assert b"".join(key for key in EscapeKeys().feed(doubled) if isinstance(key, bytes)) == data


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"info\r", b"info"),
        (b"info\n", b"info"),
        (b"ibfo\x7f\x7f\x7fnfo\r", b"info"),
        (b"ibfo\x08\x08\x08nfo\r", b"info"),
        (b"\x7f\x7finfo\r", b"info"),
        (b"rubbish\x15info\r", b"info"),
        (b"info two  three  \x17\r", b"info two  "),
        (b"info\x17\x17\r", b""),
        ("grün\x7f\x7f\x7f\x7fgr\u00fcn\u20ac\x7f\r".encode(), "grün".encode()),
        (b"a\x00\x02b\t\r", b"ab"),
        (b"a\x1b[Cb\x1b[3~c\x1bOPd\x1b[1;5De\r", b"abcde"),
    ],
)
def test_a_line_is_what_is_seen_when_it_is_entered(keys: bytes, line: bytes) -> None:
    desk = Desk()
    assert desk.type(keys[:-1]) == []
    assert desk.shown() == line.decode()
    assert desk.type(keys[-1:]) == [line]
    assert desk.shown() == ""


def test_carriage_return_and_newline_are_one_key() -> None:
    assert Desk().type(b"a\r\nb\r", b"\nc\n\nd\r\r") == [b"a", b"b", b"c", b"", b"d", b""]


def test_ctrl_c_gives_up_the_line_and_asks_for_a_prompt() -> None:
    desk = Desk()
    assert desk.type(b"rm -rf\x03") == [b""]
    assert bytes(desk.screen) == b"rm -rf^C\n"
    assert desk.type(b"info\r") == [b"info"]


@pytest.mark.parametrize(("up", "down"), [(UP, DOWN), (b"\x1bOA", b"\x1bOB"), (b"\x10", b"\x0e")])
def test_lines_before_come_back(up: bytes, down: bytes) -> None:
    desk = Desk()
    desk.type(b"one\rtwo\r\r  \rtwo\rthree")
    desk.type(up)
    assert desk.shown() == "two"
    desk.type(up)
    assert desk.shown() == "one"
    desk.type(up, up)
    assert desk.shown() == "one"
    desk.type(down)
    assert desk.shown() == "two"
    desk.type(down, down)
    assert desk.shown() == ""
    assert desk.type(up, b"!\r") == [b"two!"]


def test_an_arrow_may_come_in_pieces() -> None:
    desk = Desk()
    assert desk.type(b"one\r", b"\x1b", b"[", b"A", b"\r") == [b"one", b"one"]


def test_a_line_and_the_lines_before_are_bounded() -> None:
    desk = Desk()
    assert desk.type(b"x" * (LINE_BYTES + 10) + b"\r") == [b"x" * LINE_BYTES]
    assert desk.screen.count(b"\a") == 10
    for number in range(REMEMBERED + 50):
        desk.type(b"%d\r" % number)
    desk.type(*[UP] * (2 * REMEMBERED))
    assert desk.shown() == "50"


@given(st.lists(st.one_of(st.binary(max_size=12), st.sampled_from([UP, DOWN, b"\r", b"\x7f", b"\x17", b"\x1b["]))))
def test_whatever_is_typed_a_line_is_text_and_bounded(pieces: list[bytes]) -> None:
    desk = Desk()
    for line in desk.type(*pieces):
        assert len(line) <= LINE_BYTES
        assert all(byte >= 0x20 for byte in line)
