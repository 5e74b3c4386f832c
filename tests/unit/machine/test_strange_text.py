"""Text of a stranger's: TOML that is meant to be too much, and what must not reach a terminal."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.shown import shown_line, shown_text
from machine.toml_text import HIGHEST_BYTES, parse_toml


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "too deep"),
        ("x = " + "{a = " * 5000 + "1" + "}" * 5000, "too deep"),
        ("x = " + "9" * 5000, "too many digits"),
        (f"x = [[{1 << 64}]]", "64 bits"),
        (f"[a.b]\nx = {-(1 << 63) - 1}", "64 bits"),
        ('x = "\ud800"', "half a character"),
        ("#" * (HIGHEST_BYTES + 1), "longer than"),
    ],
)
def test_a_document_that_is_too_much_is_none(text: str, says: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match=says):
        parse_toml(text)


def test_every_number_of_64_bits_is_read() -> None:
    assert parse_toml(f"x = [{(1 << 64) - 1}, {-(1 << 63)}, true]") == {"x": [(1 << 64) - 1, -(1 << 63), True]}


@given(st.text(st.characters()))
def test_nothing_that_is_shown_moves_a_cursor_or_cannot_be_written(text: str) -> None:
    line, lines = shown_line(text), shown_text(text)
    for shown, kept in ((line, ""), (lines, "\n\t")):
        assert shown.encode().decode() == shown
        assert not [char for char in shown if (char < " " or "\x7f" <= char <= "\x9f") and char not in kept]


def test_other_text_stays_as_it_is() -> None:
    assert shown_text("a\tb\nc: ü → 你 └── \\x") == "a\tb\nc: ü → 你 └── \\x"
    assert shown_line("one\x1b[2J\ntwo\u202e\n") == "one\\x1b[2J\\ntwo\\u202e"
