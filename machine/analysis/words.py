"""The words behind an analysis's name that several of them take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST: Final = 4096
POINTER: Final = 8


def range_of(name: str, words: Sequence[str]) -> tuple[int, int]:
    """`ADDRESS [SIZE]` as first byte and bytes; ValueError says what is wrong."""
    if len(words) not in (1, 2):
        raise ValueError(f"{name} takes an ADDRESS and perhaps a SIZE")
    address, size = int(words[0], 0), int(words[1], 0) if words[1:] else POINTER
    if not 0 < size <= LARGEST:
        raise ValueError(f"{name} watches 1 to {LARGEST} bytes, not {size}")
    return address, size
