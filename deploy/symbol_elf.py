"""An ELF file of names and addresses and nothing else, made of a System.map, for gdb, which reads no such list.

Source: Tool Interface Standard, Executable and Linking Format; RISC-V ELF psABI, chapter 8 (ELF object files).

Theory of operation.  Names of code and names of data each belong to a section of that kind, or gdb does not look for
them there.  Sections may not overlap, so there is one for each run of names of one kind.  None has contents: gdb reads
all memory from the machine.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADER: Final = Struct("<16sHHIQQQIHHHHHH")
SECTION: Final = Struct("<IIQQQQIIQQ")
SYMBOL: Final = Struct("<IBBHQQ")
IDENT: Final = b"\x7fELF\x02\x01\x01" + bytes(9)
"""64 bits, little-endian, version 1, System V."""
ET_EXEC, EM_RISCV, FLAGS = 2, 243, 5
"""Compressed instructions, floating point in double registers."""
SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS = 2, 3, 8
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
GLOBAL_OBJECT, GLOBAL_FUNC = 0x11, 0x12
CODE: Final = frozenset("tTwW")
DATA: Final = frozenset("bBdDgGrRsSvV")
"""The letters of nm(1)."""
LAST_BYTES: Final = 4096
"""How much the last name of all may stand for."""
MOST_SECTIONS: Final = 0xFF00 - 4

Row = tuple[int, str, str]
"""Address, letter, name."""


class _Run(NamedTuple):
    """Names of one kind that follow one another, and where what follows them begins."""

    is_code: bool
    rows: Sequence[Row]
    end: int


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.data = bytearray(1)

    def add(self, text: str) -> int:
        """Where it stands."""
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def symbol_elf(rows: Iterable[Row]) -> bytes:
    """The file; ValueError if there are no names of code or data, or too many kinds take turns."""
    rows = sorted(row for row in rows if row[1] in CODE | DATA)
    if rows and rows[-1][0] >> 64:
        raise ValueError(f"{rows[-1][0]:#x} is no address")
    runs = _runs(rows)
    if not 0 < len(runs) <= MOST_SECTIONS:
        raise ValueError(f"{len(runs)} stretches of code and data")
    names, strings = _Strings(), _Strings()
    sections = [SECTION.pack(*(0,) * 10)]
    for number, run in enumerate(runs):
        flags = SHF_ALLOC | (SHF_EXECINSTR if run.is_code else SHF_WRITE)
        name = names.add(f".{'text' if run.is_code else 'data'}.{number}")
        begin = run.rows[0][0]
        sections.append(SECTION.pack(name, SHT_NOBITS, flags, begin, HEADER.size, run.end - begin, 0, 0, 1, 0))
    table = _table(runs, strings)
    label = [names.add(name) for name in (".symtab", ".strtab", ".shstrtab")]
    at = HEADER.size
    for name, kind, data, link in (
        (label[0], SHT_SYMTAB, table, len(runs) + 2),
        (label[1], SHT_STRTAB, strings.data, 0),
        (label[2], SHT_STRTAB, names.data, 0),
    ):
        first_global, size = (1, SYMBOL.size) if kind == SHT_SYMTAB else (0, 0)
        sections.append(SECTION.pack(name, kind, 0, 0, at, len(data), link, first_global, 8 if size else 1, size))
        at += len(data)
    count = len(sections)
    header = HEADER.pack(
        IDENT, ET_EXEC, EM_RISCV, 1, 0, 0, at, FLAGS, HEADER.size, 0, 0, SECTION.size, count, count - 1
    )
    return b"".join((header, table, strings.data, names.data, *sections))


def _runs(rows: Sequence[Row]) -> list[_Run]:
    """By kind; of names that share an address the first one's kind counts for all."""
    kinds: list[tuple[bool, Row]] = []
    for row in rows:
        same = kinds and kinds[-1][1][0] == row[0]
        kinds.append((kinds[-1][0] if same else row[1] in CODE, row))
    groups = [(is_code, [row for _, row in group]) for is_code, group in groupby(kinds, key=lambda item: item[0])]
    if not groups:
        return []
    ends = [group[1][0][0] for group in groups[1:]] + [min(rows[-1][0] + LAST_BYTES, (1 << 64) - 1)]
    return [_Run(is_code, group, end) for (is_code, group), end in zip(groups, ends, strict=True)]


def _table(runs: Sequence[_Run], strings: _Strings) -> bytes:
    """The symbols, each as long as it is to the next address."""
    addresses = sorted({row[0] for run in runs for row in run.rows} | {runs[-1].end})
    following = dict(pairwise(addresses))
    rows = [SYMBOL.pack(0, 0, 0, 0, 0, 0)]
    for number, run in enumerate(runs, 1):
        kind = GLOBAL_FUNC if run.is_code else GLOBAL_OBJECT
        rows += [
            SYMBOL.pack(strings.add(name), kind, 0, number, address, following.get(address, address) - address)
            for address, _, name in run.rows
        ]
    return b"".join(rows)
