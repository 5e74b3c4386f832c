"""The tables of keys: names, numbers, characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.keycodes import NUMBERS, QCODES, typed_key

HEADER = Path("/usr/include/linux/input-event-codes.h")


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers")
def test_the_key_table_agrees_with_the_kernels_header_where_names_agree() -> None:
    codes = dict(
        line.split()[1:3]
        for line in HEADER.read_text().splitlines()
        if line.startswith("#define KEY_") and line.split()[2].isdigit()
    )
    # A PC's Print key is its SysRq key; KEY_PRINT is something else.
    same = {name for name in QCODES if f"KEY_{name.upper()}" in codes and name != "print"}
    assert len(same) > 80
    assert all(int(codes[f"KEY_{name.upper()}"]) == QCODES[name] for name in same)


def test_every_number_of_a_key_is_a_key_and_no_key_has_two_extended_numbers() -> None:
    assert set(NUMBERS.values()) - {0} <= set(range(1, 256))
    extended = [code for number, code in NUMBERS.items() if number & 0x80]
    assert len(extended) == len(set(extended))


@given(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
def test_every_character_of_the_american_keyboard_can_be_typed(character: str) -> None:
    key = typed_key(character)
    assert key is not None
    code, shifted = key
    assert code in QCODES.values()
    assert shifted == (character.isupper() or character in '~!@#$%^&*()_+{}|:"<>?')
