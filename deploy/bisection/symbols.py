"""Names for addresses: the functions of an ELF file (a vmlinux) or of a System.map, which /proc/kallsyms is too."""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

ELF_MAGIC = b"\x7fELF"
CODE = "tT"
"""The letters of nm(1) for functions."""


class Symbols:
    """Functions by address."""

    def __init__(self, rows: Iterable[tuple[int, str]] = ()) -> None:
        self._rows = sorted(rows)

    @classmethod
    def read(cls, path: str) -> Symbols:
        """The functions in a file; UsageError if it cannot be read or is neither."""
        try:
            return cls(_of_elf(path) if is_elf(path) else _of_map(path))
        except OSError as error:
            raise UsageError(f"{path}: cannot read symbols: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{path}: neither an ELF file nor a System.map: {error}") from error

    def rows(self) -> list[tuple[int, str]]:
        """First address and name of each, by address."""
        return self._rows

    def name(self, address: int) -> str:
        """`start_kernel+0x1c`, or "" if no function begins at or before the address."""
        at = bisect.bisect_right(self._rows, address, key=lambda row: row[0]) - 1
        if at < 0:
            return ""
        start, name = self._rows[at]
        return f"{name}+{address - start:#x}" if address != start else name


def is_elf(path: str) -> bool:
    """By its first bytes; OSError."""
    with Path(path).open("rb") as file:
        return file.read(len(ELF_MAGIC)) == ELF_MAGIC


def _of_elf(path: str) -> list[tuple[int, str]]:
    from elftools.common.exceptions import ELFError  # noqa: PLC0415  # loading it takes its time
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    with Path(path).open("rb") as file:
        try:
            table: Any = ELFFile(file).get_section_by_name(".symtab")
            symbols = [] if table is None else list(table.iter_symbols())
            return [(s["st_value"], s.name) for s in symbols if s["st_info"]["type"] == "STT_FUNC"]
        except ELFError as error:
            raise ValueError(error) from error


def read_map(path: str) -> list[tuple[int, str, str]]:
    """The address, the letter of nm(1) and the name of each row; what a module's row says behind that is left out."""
    rows = []
    for line in Path(path).read_text(encoding="ascii", errors="strict").splitlines():
        address, kind, name = line.split(maxsplit=2)
        rows.append((int(address, 16), kind, name.partition("\t")[0]))
    return rows


def _of_map(path: str) -> list[tuple[int, str]]:
    return [(address, name) for address, kind, name in read_map(path) if kind in CODE]
