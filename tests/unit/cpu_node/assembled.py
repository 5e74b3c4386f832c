"""RV64 machine code by hand, for guests of a few instructions; no test lives here.

Source: The RISC-V Instruction Set Manual, Volume I (20191213), chapter 24; Volume II, 4.4 (Sv39).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENTRY: Final = 0x8020_0000
TABLES: Final = 0x2000
"""Where the page tables begin behind ENTRY; the code is in front."""
A0, A1, A6, A7, T1, T2, T3, T4, T6 = 10, 11, 16, 17, 6, 7, 28, 29, 31


def li(register: int, value: int) -> int:
    """As addi from zero does."""
    return 0x13 | register << 7 | (value & 0xFFF) << 20


def atomic(kind: int, width: int, target: int, address: int, source: int = 0) -> int:
    """lr is kind 2, sc 3, amoadd 0; width 2 is a word, 3 two."""
    return 0x2F | target << 7 | width << 12 | address << 15 | source << 20 | kind << 27


def lui(register: int, value: int) -> int:
    """The upper 20 bits of 32, whose sign is extended."""
    return 0x37 | register << 7 | value << 12


def shift(kind: int, register: int, source: int, by: int) -> int:
    """slli is kind 1, srli 5."""
    return 0x13 | register << 7 | kind << 12 | source << 15 | by << 20


def add(register: int, value: int) -> int:
    """addi to itself."""
    return 0x13 | register << 7 | register << 15 | (value & 0xFFF) << 20


def sd(source: int, address: int, offset: int = 0) -> int:
    """At an offset below 32."""
    return 0x23 | offset << 7 | 3 << 12 | address << 15 | source << 20


def bnez(register: int, back: int) -> int:
    """As many instructions back."""
    by = -4 * back
    return (
        0x63 | 1 << 12 | register << 15 | (by >> 11 & 1) << 7 | (by >> 1 & 0xF) << 8 | (by >> 5 & 0x3F) << 25 | 1 << 31
    )


OFF = [lui(A7, 0x53525), add(A7, 0x354), li(A6, 0), li(A0, 0), li(A1, 0), 0x73]
"""System reset (SBI)."""


def leaf(address: int) -> int:
    """A page table's entry: what is there may be read, written and executed by the supervisor."""
    return address >> 12 << 10 | 0xCF


def table(number: int) -> int:
    """A page table's entry: one of paged()'s tables."""
    return pointer(ENTRY + TABLES + 0x1000 * number)


def pointer(address: int) -> int:
    """A page table's entry: the table at an address."""
    return address >> 12 << 10 | 1


def paged(words: Sequence[int], rows: Mapping[tuple[int, int], int]) -> bytes:
    """An image that turns Sv39 on and goes on with `words`; `rows`: (table, row) -> entry, table 0 is the root."""
    root = [lui(A0, (ENTRY + TABLES) >> 13), shift(1, A0, A0, 1)]  # lui alone extends the sign
    satp = [li(T2, 8), shift(1, T2, T2, 60), shift(5, T3, A0, 12), 0x33 | T2 << 7 | 6 << 12 | T2 << 15 | T3 << 20]
    code = [*root, *satp, 0x73 | 1 << 12 | T2 << 15 | 0x180 << 20, 0x1200_0073, *words]
    count = 1 + max(number for number, _ in rows)
    image = bytearray(struct.pack(f"<{len(code)}I", *code).ljust(TABLES + 0x1000 * count, b"\0"))
    for (number, row), entry in rows.items():
        struct.pack_into("<Q", image, TABLES + 0x1000 * number + 8 * row, entry)
    return bytes(image)
